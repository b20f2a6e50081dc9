package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newExport(t *terminal, g *globals) *cobra.Command {
	o := imagecmd.ExportOptions{Note: t.leftOut}
	cmd := &cobra.Command{
		Use:   "export CONTAINER",
		Short: "Write a container's whole root as a tar",
		Long: `Write a container's root, the image's files with what the container has changed,
as a tar to standard output or a file, for cfs import and tar. The container may
run, and is paused while its changes are read.`,
		Example: "  cfs export -o root.tar work\n  cfs export work | cfs import - flat:1",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Container = args[0]
			return imagecmd.Export(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Pause, "pause", "p", true, "stop the container's processes while its changes are read")
	f.StringVarP(&o.Output, "output", "o", "", "write to `FILE` instead of standard output; it is there once it is whole")
	return cmd
}
