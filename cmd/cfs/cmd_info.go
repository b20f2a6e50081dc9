package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newInfo(t *terminal, g *globals) *cobra.Command {
	var asJSON bool
	var format string
	cmd := &cobra.Command{
		Use:     "info",
		Short:   "Tell what this host allows, and what to do about the rest",
		Example: "  cfs info\n  cfs info -f '{{.Driver}}'",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			info, err := imagecmd.HostInfo(cmd.Context(), dir, version, g.log(t))
			if err != nil {
				return err
			}
			if format != "" {
				return templated(imagecmd.Format(info, format, t.out))
			}
			if asJSON {
				enc := json.NewEncoder(t.out)
				enc.SetIndent("", "  ")
				return enc.Encode(info)
			}
			t.print("cfs %s, Linux %s %s, %s\nstore: %s\n", info.Version, info.Kernel, info.Arch, info.User, info.Root)
			printChecks(t, "host", info.Checks)
			printChecks(t, "drivers", info.Drivers)
			if info.Driver != "" {
				t.print("\ncfs run uses %s\n", info.Driver)
			} else {
				t.print("\ncfs run can't work here yet\n")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().StringVarP(&format, "format", "f", "", "print with a Go `TEMPLATE`, or 'json' for one line")
	return cmd
}

func printChecks(t *terminal, title string, checks []imagecmd.Check) {
	t.print("\n%s\n", title)
	for _, c := range checks {
		mark := "yes"
		if !c.OK {
			mark = "no"
		}
		t.print("  %-16s %-4s %s\n", c.Name, mark, c.Detail)
		if c.Hint != "" {
			t.print("  %-16s %-4s → %s\n", "", "", c.Hint)
		}
	}
}
