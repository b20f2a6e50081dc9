//go:build man

package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommands are part of a program that is built to write the man pages. What it takes
// to write them prepares itself at every start of a program that it is in.
func manCommands() []command { return []command{{"man", newMan}} }

// newMan writes the man pages, one a command, from the texts of --help.
func newMan(t *terminal, _ *globals) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages into a directory",
		Hidden: true,
		Args:   exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root := newRoot(t, commands())
			root.DisableAutoGenTag = true // the same texts give the same pages
			return doc.GenManTree(root, &doc.GenManHeader{Title: "CFS", Section: "1", Source: "cfs " + version, Manual: "cfs manual"}, args[0])
		},
	}
}
