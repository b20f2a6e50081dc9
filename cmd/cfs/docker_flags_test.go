package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestDockerFlags finds every flag of every command that cfs has of Docker's: it is there, or
// is refused by its name with a reason.
func TestDockerFlags(t *testing.T) {
	text, err := os.ReadFile("testdata/docker_flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		path, flags, _ := strings.Cut(line, ":")
		cmd, rest, err := newRoot(term, commands()).Find(strings.Fields(path))
		if err != nil || len(rest) > 0 || cmd.CommandPath() != "cfs "+path {
			t.Errorf("cfs %s is %s, %v %v", path, cmd.CommandPath(), rest, err)
			continue
		}
		for _, names := range strings.Fields(flags) {
			short, long, both := strings.Cut(names, ",")
			if !both {
				short, long = "", names
			}
			if flag := cmd.Flags().Lookup(long); flag == nil {
				mustRefuse(t, cmd, "--"+long)
			} else if both && flag.Shorthand == short {
				continue
			}
			if both {
				mustRefuse(t, cmd, "-"+short)
			}
		}
	}
}

// mustRefuse gives a command a flag that it doesn't have.
func mustRefuse(t *testing.T, cmd *cobra.Command, flag string) {
	err := cmd.ParseFlags([]string{flag})
	if err == nil {
		t.Errorf("%s %s means something else", cmd.CommandPath(), flag)
		return
	}
	if err = unknownFlag(cmd, err); !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), "is not supported: ") {
		t.Errorf("%s %s: %v", cmd.CommandPath(), flag, err)
	}
}
