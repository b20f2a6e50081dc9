package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cfs-project/cfs/imagecmd"
)

func newUpdate(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.UpdateOptions
	var group imagecmd.GroupOptions
	var limits limitFlags
	var restart string
	cmd := &cobra.Command{
		Use:   "update [flags] CONTAINER...",
		Short: "Change what containers may use, and when they are started again",
		Long: `Change the limits and the restart policy of containers, of those that run at once.
What isn't said stays as it is.`,
		Example: "  cfs update -m 512m --memory-swap 1g web\n  cfs update --restart on-failure:3 job",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			given := false
			cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { given = given || f.Changed })
			if !given {
				return errors.New("you must provide one or more flags when using this command")
			}
			if cmd.Flags().Changed("pids-limit") {
				group.Limits.PidsLimit = &limits.pids
			}
			if cmd.Flags().Changed("restart") {
				p, err := imagecmd.ParseRestart(restart)
				if err != nil {
					return err
				}
				o.Restart = &p
			}
			o.Limits = group.Limits
			return eachContainer(t, args, func(name string) error { return imagecmd.Update(dir, name, o) })
		},
	}
	f := cmd.Flags()
	limits.register(f, &group.Limits)
	f.StringVar(&restart, "restart", "", "when it is started again: `no|on-failure[:RETRIES]|always|unless-stopped`")
	return cmd
}
