package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newSquash(t *terminal, g *globals) *cobra.Command {
	o := imagecmd.SquashOptions{Note: t.leftOut}
	cmd := &cobra.Command{
		Use:   "squash IMAGE [NAME[:TAG]]",
		Short: "Make an image with the layers of another one in one",
		Long: `Make an image that has what another one has in a single layer, without what
layers have written over or deleted, and print its ID. Nothing is unpacked.
With --from, the layers of a base image stay as they are and are shared with it,
and only those on top of them become one.`,
		Example: `  cfs squash app:7 app:flat
  cfs image squash --from debian app:7 app:flat`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Image = args[0]
			if len(args) > 1 {
				o.Name = args[1]
			}
			return imagecmd.Squash(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.From, "from", "", "keep the layers up to and with `LAYER|IMAGE`: an image below, or the ID of a layer")
	f.StringVarP(&o.Message, "message", "m", "", "a `TEXT` for the image's history")
	compressionFlag(f, &o.Compression)
	return cmd
}
