package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

// newRemoveImages is `cfs rmi` and, under its other name, `cfs image rm`.
func newRemoveImages(t *terminal, g *globals, name string) *cobra.Command {
	var o imagecmd.RemoveOptions
	cmd := &cobra.Command{
		Use:   name + " IMAGE...",
		Short: "Remove images",
		Long: `Take names from images, and remove an image with its last name. Its nameless
parents go with it, unless another image or a container needs them.

Given an ID, the image goes with all its names, which has to be forced if they are
of several repositories. An image that others were built on, that a container runs
in, or that is mounted can't be removed at all.`,
		Example: `  cfs rmi debian:12
  cfs rmi $(cfs images -q --filter dangling=true)`,
		Args: atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Names, o.Missing = args, t.fail
			return eachFailed(t, imagecmd.Remove(cmd.Context(), st, o, t.out))
		},
	}
	if name == "rm" {
		cmd.Aliases = []string{"remove"}
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Force, "force", "f", false, "remove all names of an image, also below a stopped container; what is not there is no failure")
	f.BoolVar(&o.NoPrune, "no-prune", false, "keep nameless parents that nothing needs any more")
	return cmd
}

// eachFailed says every error that a library function has joined on a line of
// its own.
func eachFailed(t *terminal, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, e := range joined.Unwrap() {
		t.fail(e)
	}
	return &exitError{status: statusFailed}
}
