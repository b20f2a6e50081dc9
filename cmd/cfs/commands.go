package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// A command is one of the tree that is not built yet. To build all of them takes longer
// than many a command does, so only those are that were called.
type command struct {
	names string // its name and its aliases, with spaces between
	build func(*terminal, *globals) *cobra.Command
}

// commands are those of `cfs`.
func commands() []command {
	return append(append([]command{
		{"run", newRun},
		{"ps", newPs},
		{"rm", newRm},
		{"container", newContainerGroup},
		{"image", newImageGroup},
		{"images", func(t *terminal, g *globals) *cobra.Command { return newImages(t, g, "images") }},
		{"rmi", func(t *terminal, g *globals) *cobra.Command { return newRemoveImages(t, g, "rmi") }},
		{"inspect", func(t *terminal, g *globals) *cobra.Command { return newInspect(t, g, "") }},
		{"mount", newMount},
		{"umount unmount", newUmount},
		{"union", func(t *terminal, _ *globals) *cobra.Command { return newUnion(t, "union") }},
		{"runtime", func(t *terminal, _ *globals) *cobra.Command { return newRuntime(t, "runtime") }},
		{"login", newLogin},
		{"logout", newLogout},
		{"search", newSearch},
		{"manifest", newManifest},
		{"builder", newBuilder},
		{"volume", newVolume},
		{"driver", newDriver},
		{"system", newSystem},
		{"info", newInfo},
		{"version", newVersion},
		{"fsck", newFsck},
		{"bench", newBench},
	}, containerCommands()...), append(imageCommands(), manCommands()...)...)
}

func build(list []command, t *terminal, g *globals) []*cobra.Command {
	var built []*cobra.Command
	for _, c := range list {
		built = append(built, c.build(t, g))
	}
	return built
}

// called is the command tree for a command line. All of the tree is built only where
// the command line leads to no command: for help, for completion, for a wrong name.
func called(t *terminal, args []string) *cobra.Command {
	var named []command
	all := commands()
	for _, c := range all {
		// Which of the arguments is the name only the flags know.
		if slices.ContainsFunc(strings.Fields(c.names), func(n string) bool { return slices.Contains(args, n) }) {
			named = append(named, c)
		}
	}
	root := newRoot(t, named)
	if found, _, err := root.Find(args); err != nil || found == root {
		root = newRoot(t, all)
	}
	return root
}
