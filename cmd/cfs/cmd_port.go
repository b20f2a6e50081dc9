package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newPort(t *terminal, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "port CONTAINER [PORT[/PROTOCOL]]",
		Short:   "List a container's published ports, or where one of them is",
		Example: "  cfs port web\n  cfs port web 80/tcp",
		Args:    between(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.Port(dir, args[0], append(args, "")[1], t.out)
		},
	}
}
