package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newCopy(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.CopyOptions
	cmd := &cobra.Command{
		Use:   "cp [flags] CONTAINER:SRC_PATH DEST_PATH|-\n  cfs cp [flags] SRC_PATH|- CONTAINER:DEST_PATH",
		Short: "Copy files between a container and the host",
		Long: `Copy files or directories between a container, which may be running, and the host.
With - they come from standard input, or go to standard output, as a tar.

A directory is copied into one that is there, or becomes the one that is not; DIR/. is
what it holds. In the container copies are root's, and on the host yours, unless
--archive keeps whose they were; a tar that you bring says so itself. Paths of a
container begin at its root. A path of the host with a colon is written ./a:b.`,
		Example: `  cfs cp web:/etc/nginx/nginx.conf .
  cfs cp site/. web:/usr/share/nginx/html
  cfs cp web:/var/log - | tar -tv`,
		Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.From, o.To = args[0], args[1]
			return imagecmd.Copy(cmd.Context(), st, o, t.in, t.out, t.err)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Archive, "archive", "a", false, "keep the owners of what is copied")
	f.BoolVarP(&o.FollowLink, "follow-link", "L", false, "copy what a symbolic link at the end of SRC_PATH leads to")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "don't say how much it was")
	return cmd
}
