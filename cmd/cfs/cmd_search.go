package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newSearch(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.SearchOptions
	cmd := &cobra.Command{
		Use:   "search [HOST[:PORT]/]TERM",
		Short: "Search a registry, or Docker Hub, for images",
		Long: `Search Docker Hub, or the registry that the term begins with, for images. A
registry without a search is asked for its catalog: the names count then that the
term is a part of, and HOST/ lists them all.

Filters: is-official=true|false, is-automated=true|false, stars=N (at least).`,
		Example: "  cfs search --filter stars=100 debian\n  cfs search localhost:5000/",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Term = args[0]
			registryDefaults(cmd, t, g, &o.Registry)
			return imagecmd.Search(cmd.Context(), o, t.out)
		},
	}
	f := cmd.Flags()
	f.VarP(&o.Filters, "filter", "f", "list only what a `KEY=VALUE` matches")
	f.IntVar(&o.Limit, "limit", 25, "list at most `N` of up to 100")
	f.BoolVar(&o.NoTrunc, "no-trunc", false, "don't shorten descriptions")
	f.StringVar(&o.Format, "format", "", "print with a Go `TEMPLATE`, 'table TEMPLATE', or 'json'")
	registryFlags(cmd)
	return cmd
}
