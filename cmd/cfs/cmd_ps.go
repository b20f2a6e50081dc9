package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newPs(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.PsOptions
	var latest, asJSON bool
	cmd := &cobra.Command{
		Use:   "ps [flags]",
		Short: "List containers",
		Long: `List containers that run; with -a, all. Filters: ancestor=IMAGE, before=CONTAINER, health=STATUS,
exited=STATUS, id=ID, label=KEY[=VALUE], name=PATTERN, network=NAME, since=CONTAINER,
status=created|running|paused|restarting|exited, volume=NAME|PATH.`,
		Example: `  cfs ps -a
  cfs ps -aq --filter status=exited
  cfs ps --format '{{.Names}}: {{.Status}}'`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			switch {
			case latest:
				o.Last = 1
			case cmd.Flags().Changed("last") && o.Last < 1:
				o.Last = 0
			}
			if asJSON {
				o.Format = "json"
			}
			o.Now = t.now
			return imagecmd.ListContainers(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all", "a", false, "show those that have ended too")
	f.VarP(&o.Filters, "filter", "f", "show only what a `KEY=VALUE` matches")
	f.IntVarP(&o.Last, "last", "n", -1, "show the last `NUMBER` that were made, in any state")
	f.BoolVarP(&latest, "latest", "l", false, "show the last one that was made, in any state")
	f.BoolVarP(&o.Size, "size", "s", false, "show what they have changed takes")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print IDs only")
	f.BoolVar(&o.NoTrunc, "no-trunc", false, "don't shorten")
	f.BoolVar(&asJSON, "json", false, "the same as --format json: one JSON object a line")
	formatFlag(f, &o.Format)
	return cmd
}

func newRm(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.RmOptions
	cmd := &cobra.Command{
		Use:     "rm [flags] CONTAINER...",
		Short:   "Remove containers that have ended, with their changes",
		Example: "  cfs rm job\n  cfs rm -fv web",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return eachContainer(t, args, func(name string) error {
				err := imagecmd.Rm(cmd.Context(), dir, name, o, g.log(t))
				if o.Force && errors.Is(err, imagecmd.ErrNoContainer) {
					t.fail(err)
					return errMissing
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Force, "force", "f", false, "kill those that run; what is not there is no failure")
	f.BoolVarP(&o.Volumes, "volumes", "v", false, "and the anonymous volumes that were made for them")
	return cmd
}
