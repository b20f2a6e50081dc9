package dockerlint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
)

// expose looks at ports: [[IP:]HOST:]PORT[-PORT][/PROTOCOL]. Of these EXPOSE should have the last
// two. (dockerfile2llb.portSpecs)
func (k *command) expose(x *instructions.ExposeCommand) error {
	for _, spec := range x.Ports {
		words, err := k.c.lex.ProcessWords(spec, k.s.env)
		if err != nil {
			return err
		}
		for _, w := range words {
			if err := k.port(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *command) port(spec string) error {
	last := spec[strings.LastIndexByte(spec, ':')+1:]
	port, proto, _ := strings.Cut(last, "/")
	if port == "" {
		return fmt.Errorf("invalid port: %q: no port specified", spec)
	}
	if !slices.Contains([]string{"", "tcp", "udp", "sctp"}, strings.ToLower(proto)) {
		return fmt.Errorf("invalid port: %q: invalid proto: %s", spec, proto)
	}
	if proto != strings.ToLower(proto) {
		k.run(&linter.RuleExposeProtoCasing, linter.RuleExposeProtoCasing.Format(spec))
	}
	// An empty host, as in ":80", is none.
	if mapped := strings.Trim(strings.TrimSuffix(spec, last), ":"); mapped != "" {
		k.run(&linter.RuleExposeInvalidFormat, linter.RuleExposeInvalidFormat.Format(spec))
	}
	return nil
}
