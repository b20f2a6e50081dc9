package main

import (
	"bufio"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newSystem(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "system COMMAND",
		Short: "Manage the store",
		Args:  groupArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDiskUsage(t, g), newPrune(t, g, true), newInfo(t, g))
	return cmd
}

func newDiskUsage(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.DiskUsageOptions
	cmd := &cobra.Command{
		Use:   "df",
		Short: "Show what images, containers and volumes take",
		Long: `Show what images, containers and volumes take, and how much of it a prune would give back,
in bytes of the files in them. Layers that images share count once.`,
		Example: `  cfs system df -v
  cfs system df --format '{{.Type}}: {{.Reclaimable}}'`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Now = t.now
			return imagecmd.DiskUsage(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Verbose, "verbose", "v", false, "show every image, container and volume")
	formatFlag(f, &o.Format)
	return cmd
}

// newPrune is `cfs image prune` or, with containers, `cfs system prune`.
func newPrune(t *terminal, g *globals, containers bool) *cobra.Command {
	o := imagecmd.PruneOptions{Containers: containers}
	var force bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove unused images",
		Long: `Remove images without a name that no container uses; with -a, all that no container
uses. Filters: until=TIME keeps what is younger, label=KEY[=VALUE] what lacks the
label, label!=KEY[=VALUE] what has it. TIME is a date, or an age such as 24h.`,
		Example: "  cfs image prune\n  cfs image prune -a -f --filter until=240h",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Now = t.now
			if err := o.Check(); err != nil {
				return err
			}
			if !force && !confirmed(t, o.Warning()) {
				t.print("Total reclaimed space: 0B\n")
				return nil
			}
			o.Log = g.log(t)
			return eachFailed(t, imagecmd.Prune(cmd.Context(), st, o, t.out))
		},
	}
	if containers {
		cmd.Short = "Remove stopped containers and unused images"
		cmd.Long = "Remove containers that have ended, with their changes, and what mounts that are\nunmounted have kept; then" + strings.TrimPrefix(cmd.Long, "Remove")
		cmd.Example = "  cfs system prune\n  cfs system prune -a -f --filter until=240h"
	}
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all", "a", false, "remove all unused images, not just nameless ones")
	f.BoolVarP(&force, "force", "f", false, "don't ask")
	if containers {
		f.BoolVar(&o.Volumes, "volumes", false, "remove anonymous volumes too")
	}
	f.Var(&o.Filters, "filter", "remove only what a `KEY=VALUE` matches")
	return cmd
}

// confirmed asks a question; only y is yes.
func confirmed(t *terminal, question string) bool {
	t.print("%s", question)
	answer, _ := bufio.NewReader(t.in).ReadString('\n') // no answer is none
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}
