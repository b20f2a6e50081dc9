package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

// newImages is `cfs images` and, under its other name, `cfs image ls`.
func newImages(t *terminal, g *globals, name string) *cobra.Command {
	var o imagecmd.ImagesOptions
	cmd := &cobra.Command{
		Use:   name + " [REPOSITORY[:TAG]]",
		Short: "List images",
		Example: `  cfs images
  cfs images --format '{{.Repository}}:{{.Tag}} {{.Size}}'`,
		Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				o.Reference = args[0]
			}
			return imagecmd.Images(cmd.Context(), st, o, t.out)
		},
	}
	if name == "ls" {
		cmd.Aliases = []string{"list"}
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print IDs only")
	f.BoolVar(&o.NoTrunc, "no-trunc", false, "don't shorten IDs")
	f.BoolVar(&o.Digests, "digests", false, "show the digests images were pulled by")
	f.StringVar(&o.Format, "format", "", "print with a Go `TEMPLATE`, 'table TEMPLATE', or 'json'")
	return cmd
}

// newRemoveImages is `cfs rmi` and, under its other name, `cfs image rm`.
func newRemoveImages(t *terminal, g *globals, name string) *cobra.Command {
	var o imagecmd.RemoveOptions
	cmd := &cobra.Command{
		Use:   name + " IMAGE...",
		Short: "Remove images",
		Args:  atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Names = args
			return imagecmd.Remove(cmd.Context(), st, o, t.out)
		},
	}
	if name == "rm" {
		cmd.Aliases = []string{"remove"}
	}
	cmd.Flags().BoolVarP(&o.Force, "force", "f", false, "remove all names of an image, also below a stopped container")
	return cmd
}
