package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxHookOutput is how much of what a failed hook has printed is passed on.
const maxHookOutput = 4 << 10

// hookDrain is how long a hook's output is read after it has ended: what it has left
// running may keep that open.
const hookDrain = time.Second

// RunHooks runs hooks one after the other, each with the container's state as its
// standard input, until one fails (config.md, "POSIX-platform Hooks"). kind is how the
// specification calls them.
func RunHooks(hooks []specs.Hook, kind string, state specs.State) error {
	if len(hooks) == 0 {
		return nil
	}
	input, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("%s hook: %w", kind, err)
	}
	for n, h := range hooks {
		if err := runHook(h, input); err != nil {
			return fmt.Errorf("%s hook %d (%s): %w", kind, n, h.Path, err)
		}
	}
	return nil
}

func runHook(h specs.Hook, input []byte) error {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if h.Timeout != nil {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
	}
	defer cancel()
	cmd := exec.CommandContext(ctx, h.Path)
	if cmd.Args = h.Args; len(cmd.Args) == 0 {
		cmd.Args = []string{h.Path}
	}
	cmd.Env = append([]string{}, h.Env...) // never nil, which would be ours
	cmd.Stdin = strings.NewReader(string(input))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = hookDrain
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("not done within %d s: %w", *h.Timeout, ctx.Err())
	}
	if text := strings.TrimSpace(out.String()); err != nil && len(text) > 0 {
		err = fmt.Errorf("%w: %s", err, text[:min(len(text), maxHookOutput)])
	}
	return err
}

// validateHooks refuses hooks that can't be run.
func validateHooks(h *specs.Hooks) error {
	if h == nil {
		return nil
	}
	for _, kind := range []struct {
		name  string
		hooks []specs.Hook
	}{
		{"prestart", prestart(h)}, {"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer}, {"poststart", h.Poststart}, {"poststop", h.Poststop},
	} {
		for n, hook := range kind.hooks {
			if !path.IsAbs(hook.Path) {
				return invalid("hooks.%s[%d].path %q is not absolute", kind.name, n, hook.Path)
			}
			if hook.Timeout != nil && *hook.Timeout <= 0 {
				return invalid("hooks.%s[%d].timeout %d", kind.name, n, *hook.Timeout)
			}
		}
	}
	return nil
}
