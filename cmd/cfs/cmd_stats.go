package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newStats(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.StatsOptions
	cmd := &cobra.Command{
		Use:   "stats [flags] [CONTAINER...]",
		Short: "Show what containers use: CPUs, memory, network, block devices, processes",
		Long: `Show what containers use, again each second: those that are named, or all that run.

A container with limits has a control group, which counts. Of others the processes that
live are asked: memory that several share counts in proportion, and files that the kernel
keeps in memory don't.`,
		Example: "  cfs stats\n  cfs stats --no-stream --format '{{.Name}}: {{.MemUsage}}' web",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			o.Names = args
			return imagecmd.Stats(cmd.Context(), dir, o, t.out)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all", "a", false, "show those that don't run, too")
	f.BoolVar(&o.NoStream, "no-stream", false, "show it once")
	f.BoolVar(&o.NoTrunc, "no-trunc", false, "don't shorten IDs")
	formatFlag(f, &o.Format)
	return cmd
}
