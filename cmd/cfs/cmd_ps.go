package main

import (
	"encoding/json"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newPs(t *terminal, g *globals) *cobra.Command {
	var all, quiet, asJSON, noTrunc bool
	cmd := &cobra.Command{
		Use:   "ps [flags]",
		Short: "List containers",
		Args:  exactly(0),
		RunE: func(*cobra.Command, []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			rows, err := imagecmd.ListContainers(imagecmd.OpenContainers(dir), all, time.Now())
			if err != nil {
				return err
			}
			short := func(id string) string {
				if noTrunc {
					return id
				}
				return id[:12]
			}
			switch {
			case quiet:
				for _, r := range rows {
					t.print("%s\n", short(r.ID))
				}
			case asJSON:
				enc := json.NewEncoder(t.out)
				for _, r := range rows {
					if err := enc.Encode(r); err != nil {
						return err
					}
				}
			default:
				w := tabwriter.NewWriter(t.out, 0, 0, 3, ' ', 0)
				row := &terminal{out: w}
				row.print("CONTAINER ID\tIMAGE\tCOMMAND\tCREATED\tSTATUS\tPORTS\tNAMES\n")
				for _, r := range rows {
					command := r.Command
					if !noTrunc && len(command) > 20 {
						command = command[:19] + "…"
					}
					row.print("%s\t%s\t%q\t%s\t%s\t%s\t%s\n", short(r.ID), r.Image, command, r.Created, r.Status, r.Ports, r.Name)
				}
				return w.Flush()
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all", "a", false, "show those that have ended too")
	f.BoolVarP(&quiet, "quiet", "q", false, "print IDs only")
	f.BoolVar(&noTrunc, "no-trunc", false, "don't shorten")
	f.BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func newRm(t *terminal, g *globals) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "rm [flags] CONTAINER...",
		Short:   "Remove containers that have ended, with their changes",
		Example: "  cfs rm job\n  cfs rm -f web",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			remove := imagecmd.RemoveContainer
			if force {
				remove = imagecmd.KillAndRemove
			}
			return eachContainer(t, args, func(name string) error { return remove(cmd.Context(), dir, name, g.log(t)) })
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill those that run")
	return cmd
}
