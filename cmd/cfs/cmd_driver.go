package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newDriver(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "driver COMMAND",
		Short: "Compare storage drivers, and move containers between them",
		Args:  groupArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDriverImport(t, g), newDriverList(t, g), newDriverMigrate(t, g), newDriverPrune(t, g), newDriverSet(t, g))
	return cmd
}

func newDriverList(t *terminal, g *globals) *cobra.Command {
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List storage drivers: what they are like, and which work here",
		Long: `List storage drivers in the order in which cfs tries them.

  LEVEL    at which they copy: whole files or blocks
  SHARED   what containers of one image have in common
  BACKING  filesystems that the store can be on
  COPY-UP  what the first write to a file of the image costs
  USABLE   whether the driver works for you, here, with this store

Below the table is what each is good for, or what keeps it from working here.`,
		Example: `  cfs driver ls
  cfs driver ls --json | jq -r '.[] | select(.usable) | .name'`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			rows, err := imagecmd.ListDrivers(cmd.Context(), dir, g.log(t))
			if err != nil {
				return err
			}
			switch {
			case quiet:
				for _, r := range rows {
					if r.Usable {
						t.print("%s\n", r.Name)
					}
				}
				return nil
			case asJSON:
				enc := json.NewEncoder(t.out)
				enc.SetIndent("", "  ")
				return enc.Encode(rows)
			}
			return printDrivers(t, rows)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&quiet, "quiet", "q", false, "print the names of those that work here only")
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func printDrivers(t *terminal, rows []imagecmd.DriverRow) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 3, ' ', 0)
	row := &terminal{out: w}
	row.print("NAME\tLEVEL\tSHARED\tBACKING\tCOPY-UP\tUSABLE\n")
	for _, r := range rows {
		usable := "no"
		switch {
		case r.Default:
			usable = "yes, the default"
		case r.Usable:
			usable = "yes"
		}
		row.print("%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Level, r.Shared, r.Backing, r.CopyUp, usable)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	t.print("\n")
	for _, r := range rows {
		row.print("%s\t%s\n", r.Name, r.Notes)
		if !r.Usable {
			row.print("\tnot usable here: %s\n", r.Reason)
			if r.Hint != "" {
				row.print("\t→ %s\n", r.Hint)
			}
		}
	}
	return w.Flush()
}

func newDriverMigrate(t *terminal, g *globals) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "migrate CONTAINER --to NAME",
		Short: "Move a container that has ended, with its changes, to another storage driver",
		Long: `Move a container, or a mount that is not mounted, with its changes to another
storage driver. Between union and overlay2, which keep changes in the same form, nothing
is copied; else the changes are copied, and then the old ones removed. Killed in the
middle, the container is whole on one of the two.`,
		Example: `  cfs driver migrate work --to btrfs`,
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" || to == "auto" {
				return &usageError{fmt.Errorf("say which driver: --to NAME (cfs driver ls)"), cmd.CommandPath()}
			}
			st, err := g.open()
			if err != nil {
				return err
			}
			if err := imagecmd.MigrateContainer(cmd.Context(), st, args[0], to); err != nil {
				return err
			}
			t.print("%s\n", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the driver's `NAME`")
	return cmd
}

func newDriverPrune(t *terminal, g *globals) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what storage drivers have extracted of images that are gone",
		Long: `Remove what kernel drivers have extracted of images that are gone. What is mounted
stays. Nothing is lost: whatever a driver misses it extracts again.`,
		Example: `  cfs driver prune
  cfs driver prune --all`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			return imagecmd.PruneDrivers(cmd.Context(), st, all, t.out)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also of images that no container stands on")
	return cmd
}

func newDriverSet(t *terminal, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "set DRIVER [OPTION=VALUE...]",
		Short: "List or change what a storage driver does for all containers of the store",
		Long: `Change options of a storage driver, which hold for all containers of the store from their
next start; a value of nothing (OPTION=) is the default again. Without options, list
them: what each is set to, and what it can be.

What a container may take is an option of cfs run and cfs mount: --storage-opt size.`,
		Example: `  cfs driver set devicemapper
  cfs driver set devicemapper dm.datadev=/dev/sdb dm.metadatadev=/dev/sdc
  cfs driver set devicemapper dm.loopdatasize=200G`,
		Args: atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			if len(args) > 1 {
				return imagecmd.SetDriverOptions(cmd.Context(), dir, args[0], args[1:])
			}
			options, err := imagecmd.DriverOptions(dir, args[0])
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(t.out, 0, 0, 3, ' ', 0)
			row := &terminal{out: w}
			row.print("OPTION\tVALUE\tWHAT IT IS\n")
			for _, o := range options {
				row.print("%s\t%s\t%s\n", o.Name, o.Value, o.Usage)
			}
			return w.Flush()
		},
	}
}

// storageOptions is the flag --storage-opt.
type storageOptions struct{ size *int64 }

func (s storageOptions) String() string { return "" }
func (s storageOptions) Type() string   { return "size=SIZE" }

func (s storageOptions) Set(value string) error {
	size, err := imagecmd.ParseStorageOption(value)
	if err == nil {
		*s.size = size
	}
	return err
}
