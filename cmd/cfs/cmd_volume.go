package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

// newVolume is `cfs volume`.
func newVolume(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "volume COMMAND",
		Short: "Manage volumes",
		Long: `Manage volumes: directories that outlive the containers which they are mounted in.

cfs run -v NAME:/path makes one at first use, and fills it with what the image has at
that path. An image's own VOLUMEs, and -v /path, are anonymous ones; they go with
cfs run --rm, cfs rm -v and cfs volume prune.`,
		Example: "  cfs volume create data\n  cfs run --rm -v data:/var/lib/data debian touch /var/lib/data/x\n  cfs volume ls",
		Args:    groupArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newVolumeCreate(t, g), newInspect(t, g, "volume"), newVolumeList(t, g), newVolumeRemove(t, g), newVolumePrune(t, g))
	return cmd
}

func newVolumeCreate(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.CreateVolumeOptions
	var labels, options []string
	cmd := &cobra.Command{
		Use:   "create [flags] [VOLUME]",
		Short: "Make a volume",
		Long: `Make a volume, unless there is one of that name, and print its name.

With --opt o=bind --opt device=DIRECTORY it stands for a directory of the host, which
is neither filled nor removed with it.`,
		Example: "  cfs volume create --label app=shop data\n  cfs volume create -o o=bind -o device=/srv/data srv",
		Args:    between(0, 1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				o.Name = args[0]
			}
			if o.Labels, err = imagecmd.ParseLabels(nil, labels); err != nil {
				return err
			}
			if o.Options, err = imagecmd.ParseVolumeOptions(options); err != nil {
				return err
			}
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.CreateVolume(dir, o, t.out)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Driver, "driver", "d", "local", "volume driver `NAME`; there is local")
	f.StringArrayVar(&labels, "label", nil, "a label `KEY=VALUE`")
	f.StringArrayVarP(&options, "opt", "o", nil, "`o=bind` and device=DIRECTORY: the volume is that directory")
	return cmd
}

func newVolumeList(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.VolumesOptions
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List volumes",
		Long: `List volumes. Filters: dangling=true|false (which no container has), driver=NAME,
label=KEY[=VALUE], name=PATTERN.`,
		Example: "  cfs volume ls\n  cfs volume ls -q --filter dangling=true",
		Args:    exactly(0),
		RunE: func(*cobra.Command, []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.ListVolumes(dir, o, t.out)
		},
	}
	f := cmd.Flags()
	f.VarP(&o.Filters, "filter", "f", "list only what a `KEY=VALUE` matches")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print names only")
	formatFlag(f, &o.Format)
	return cmd
}

func newVolumeRemove(t *terminal, g *globals) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "rm [flags] VOLUME...",
		Aliases: []string{"remove"},
		Short:   "Remove volumes that no container has",
		Example: "  cfs volume rm data",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return eachContainer(t, args, func(name string) error { return imagecmd.RemoveVolume(cmd.Context(), dir, name, force) })
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "what is not there is no failure")
	return cmd
}

func newVolumePrune(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.PruneVolumesOptions
	var force bool
	cmd := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove unused anonymous volumes",
		Long: `Remove anonymous volumes that no container has; with -a, all that no container has.
Filters: label=KEY[=VALUE] keeps what lacks the label, label!=KEY[=VALUE] what has it.`,
		Example: "  cfs volume prune -f\n  cfs volume prune -a --filter label=app=shop",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			if !force && !confirmed(t, o.Warning()) {
				t.print("Total reclaimed space: 0B\n")
				return nil
			}
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return eachFailed(t, imagecmd.PruneVolumes(cmd.Context(), dir, o, t.out))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all", "a", false, "remove all unused volumes, not just anonymous ones")
	f.BoolVarP(&force, "force", "f", false, "don't ask")
	f.Var(&o.Filters, "filter", "remove only what a `KEY=VALUE` matches")
	return cmd
}
