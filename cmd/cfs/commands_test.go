package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// The table calls every command by the names that it has.
func TestCommandNames(t *testing.T) {
	for _, c := range commands() {
		cmd := c.build(&terminal{}, &globals{})
		if names := append([]string{cmd.Name()}, cmd.Aliases...); strings.Join(names, " ") != c.names {
			t.Errorf("the command that is called %q is in the table as %q", names, c.names)
		}
	}
}

// A command line leads to the same command in the part of the tree that is built for it
// as in the whole one.
func TestCalled(t *testing.T) {
	whole := newRoot(&terminal{}, commands())
	var lines [][]string
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		lines = append(lines, path, append([]string{"--root", "run"}, path...), append(slices.Clone(path), "--debug", "x", "inspect", "help"))
		for _, c := range cmd.Commands() {
			add(c)
		}
	}
	add(whole)
	for _, args := range lines {
		want, wantArgs, wantErr := whole.Find(args)
		root := called(&terminal{}, args)
		got, gotArgs, err := root.Find(args)
		if (err == nil) != (wantErr == nil) || got.CommandPath() != want.CommandPath() || !slices.Equal(gotArgs, wantArgs) {
			t.Errorf("%q is %s %q, %v, not %s %q, %v", args, got.CommandPath(), gotArgs, err, want.CommandPath(), wantArgs, wantErr)
		}
		if got == root && len(root.Commands()) != len(whole.Commands()) {
			t.Errorf("%q: not all commands are there to be shown", args)
		}
		if len(got.Commands()) != len(want.Commands()) {
			t.Errorf("%s has %d commands, not %d", got.CommandPath(), len(got.Commands()), len(want.Commands()))
		}
	}
}
