package main

import "github.com/spf13/cobra"

// newImageGroup is `cfs image`, the long forms of what is done with images.
func newImageGroup(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image COMMAND",
		Short: "Manage images",
		Args:  groupArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImages(t, g, "ls"), newRemoveImages(t, g, "rm"), newInspect(t, g, "image"), newPrune(t, g, false))
	cmd.AddCommand(build(imageCommands(), t, g)...)
	return cmd
}

// imageCommands are those that have one name at both places.
func imageCommands() []command {
	return []command{
		{"pull", newPull}, {"push", newPush}, {"load", newLoad}, {"save", newSave}, {"import", newImport},
		{"tag", newTag}, {"history", newHistory}, {"squash", newSquash}, {"build", newBuild},
	}
}
