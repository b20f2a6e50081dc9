package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cfs-project/cfs/imagecmd"
)

// newImages is `cfs images` and, under its other name, `cfs image ls`.
func newImages(t *terminal, g *globals, name string) *cobra.Command {
	var o imagecmd.ImagesOptions
	cmd := &cobra.Command{
		Use:   name + " [REPOSITORY[:TAG]]",
		Short: "List images",
		Long: `List images, newest first. Nameless parents of other images, as the steps of a
build leave them, are shown with -a only.

Filters: dangling=true|false, label=KEY[=VALUE], before=IMAGE, since=IMAGE,
until=TIME, reference=PATTERN. A repeated reference widens the list, any other
one narrows it.`,
		Example: `  cfs images
  cfs images --filter label=kind=demo --filter since=debian
  cfs images --format '{{.Repository}}:{{.Tag}} {{.Size}}'`,
		Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				o.Reference = args[0]
			}
			o.Now = t.now
			return imagecmd.Images(cmd.Context(), st, o, t.out)
		},
	}
	if name == "ls" {
		cmd.Aliases = []string{"list"}
	}
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all", "a", false, "show intermediate images too")
	f.BoolVar(&o.Digests, "digests", false, "show the digests images were pulled by")
	f.VarP(&o.Filters, "filter", "f", "list only what a `KEY=VALUE` matches")
	f.BoolVar(&o.NoTrunc, "no-trunc", false, "don't shorten IDs")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print IDs only")
	formatFlag(f, &o.Format)
	return cmd
}

// formatFlag is the --format of commands that list.
func formatFlag(f *pflag.FlagSet, format *string) {
	f.StringVar(format, "format", "", "print with a Go `TEMPLATE`, 'table TEMPLATE', or 'json'")
}

// newHistory is `cfs history` and `cfs image history`.
func newHistory(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.HistoryOptions
	var human bool
	var platform string
	cmd := &cobra.Command{
		Use:   "history IMAGE",
		Short: "Show the steps an image was made in",
		Example: `  cfs history debian
  cfs history --no-trunc --format '{{.Size}} {{.CreatedBy}}' debian`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Platform, err = platformFlag(cmd, platform); err != nil {
				return err
			}
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Image, o.Raw = args[0], !human
			o.Now = t.now
			return imagecmd.History(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&human, "human", "H", true, "sizes and ages in words; -H=false in bytes and dates")
	f.BoolVar(&o.NoTrunc, "no-trunc", false, "don't shorten IDs and commands")
	f.StringVar(&platform, "platform", "", "show the image for `OS/ARCH[/VARIANT]` out of those of several platforms")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print IDs only")
	formatFlag(f, &o.Format)
	return cmd
}

// newTag is `cfs tag` and `cfs image tag`.
func newTag(_ *terminal, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "tag IMAGE[:TAG] NAME[:TAG]",
		Short: "Give an image one more name",
		Long: `Give an image, said by a name or an ID, one more name. An image that had the name
loses it, and stays.`,
		Example: "  cfs tag debian localhost:5000/team/debian:12",
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			return imagecmd.Tag(cmd.Context(), st, args[0], args[1])
		},
	}
}
