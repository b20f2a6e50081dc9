package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newDiff(t *terminal, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "diff CONTAINER",
		Short: "List what a container has changed of its image",
		Long: `List what a container has changed of its image: a line for every path, with A
for added, C for changed and D for deleted. It may run or be mounted meanwhile.`,
		Example: "  cfs run --name work debian touch /new\n  cfs diff work",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			return imagecmd.Diff(cmd.Context(), st, args[0], t.out)
		},
	}
}
