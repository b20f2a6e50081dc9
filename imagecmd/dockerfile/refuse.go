package dockerfile

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// ours are the frontends that a syntax directive may name: those that this
// package stands for, of whatever registry. Another one could give the file any meaning.
var ours = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([\w.-]+(:\d+)?/)*docker/dockerfile(-upstream)?(:[\w][\w.-]*)?(@sha256:[0-9a-f]{64})?$`)
})

// checkSyntax refuses a Dockerfile for another frontend.
func checkSyntax(src []byte) error {
	syntax, _, _, ok := parser.DetectSyntax(src)
	if !ok || ours().MatchString(syntax) {
		return nil
	}
	return fmt.Errorf("syntax=%s is a frontend that is %w: there is docker/dockerfile", syntax, ErrUnsupported)
}

// refuse is why an instruction can't be done.
func refuse(c instructions.Command) error {
	switch c := c.(type) {
	case *instructions.RunCommand:
		if len(instructions.GetDevices(c)) > 0 {
			return fmt.Errorf("RUN --device is %w", ErrUnsupported)
		}
	case *instructions.OnbuildCommand:
		_, err := parseTrigger(c.Expression)
		return err
	}
	return nil
}

// parseTrigger reads what an ONBUILD has left.
func parseTrigger(text string) (instructions.Command, error) {
	tree, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	if len(tree.AST.Children) != 1 {
		return nil, fmt.Errorf("onbuild trigger should be a single expression: %q", text)
	}
	c, err := instructions.ParseCommand(tree.AST.Children[0])
	if err != nil {
		return nil, err
	}
	switch c.(type) {
	case *instructions.OnbuildCommand, *instructions.MaintainerCommand:
		return nil, fmt.Errorf("%s isn't allowed as an ONBUILD trigger", strings.ToUpper(c.Name()))
	}
	return c, refuse(c)
}
