package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newDriverImport(t *terminal, g *globals) *cobra.Command {
	o := imagecmd.ImportDriverOptions{Warn: func(text string) { t.warn("%s", text) }}
	cmd := &cobra.Command{
		Use:   "import DIR [IMAGE...]",
		Short: "Bring in images that a Docker Engine keeps on disk",
		Long: `Bring in images from the directory of a Docker Engine, usually /var/lib/docker, which
need not run, nor work any more: the images of its driver overlay2, fuse-overlayfs,
vfs or btrfs, and of aufs and overlay, which Docker has dropped. Nothing is changed there.

An IMAGE is a name, an ID or the beginning of one; without any, all are brought in that have a
name, or that no other image was built on. Layers come byte for byte and images keep their
IDs; where Docker has not kept what that takes (tar-split.json.gz), a layer is made anew,
and a warning says that the image has another ID.`,
		Example: `  cfs driver import /var/lib/docker
  cfs driver import --driver aufs /mnt/old/var/lib/docker debian:7
  cfs mount debian:7 /mnt/tree`,
		Args: atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Dir, o.Images = args[0], args[1:]
			return imagecmd.ImportDriver(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Driver, "driver", "", "bring in those of the driver `NAME`, where several have images")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "show no progress")
	return cmd
}
