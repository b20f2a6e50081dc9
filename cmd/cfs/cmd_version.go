package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

// newVersion is `cfs version`.
func newVersion(t *terminal, _ *globals) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Tell which cfs this is, and what it runs on",
		Long: `Tell which cfs this is, what it was built of and which kernel it runs on. There is no
daemon: .Server, for scripts that ask Docker's for its version, is the same program.`,
		Example: "  cfs version\n  cfs version -f '{{.Server.Version}}'\n  cfs version -f json",
		Args:    exactly(0),
		RunE: func(*cobra.Command, []string) error {
			return imagecmd.PrintVersion(version, format, t.out)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "print a JSON object (json), or a Go `TEMPLATE` of it")
	return cmd
}
