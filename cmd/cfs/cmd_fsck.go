package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newFsck(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.FsckOptions
	cmd := &cobra.Command{
		Use:   "fsck [--repair]",
		Short: "Check every image against its digests, and repair what can be",
		Long: `Check everything that the store has against its digest: blobs, layers and each
file in them, the indexes that are made of those, and whether all is there that
the images need. What is damaged is named: image, layer, path.

With --repair an index is made again from its layers, a table of contents from its
tar, a tar from its blob, the blob of a plain layer from its tar. What is lost is
moved into the directory "damaged" of the store: load or pull the image again.

Other commands may run meanwhile. The exit status is 1 if anything is damaged
and stays so.`,
		Example: "  cfs fsck\n  cfs fsck --repair",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Talk = t.err
			whole, err := imagecmd.Fsck(cmd.Context(), st, o, t.out)
			if err == nil && !whole {
				return &exitError{status: statusFailed}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Repair, "repair", false, "repair what can be repaired from what is there")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print what is damaged, and nothing else")
	return cmd
}
