package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newManifest(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manifest COMMAND",
		Short: "Look at manifests in a registry",
		Args:  groupArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newManifestInspect(t, g))
	return cmd
}

func newManifestInspect(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.ManifestOptions
	var insecure bool
	cmd := &cobra.Command{
		Use:   "inspect NAME[:TAG|@DIGEST]",
		Short: "Show a manifest, or the index of several platforms, as the registry has it",
		Long: `Show a manifest, or the index of several platforms, as the registry has it. No
layer is fetched, and nothing is kept. The other commands of docker manifest make
indexes out of images in a registry; cfs has none of them.`,
		Example: "  cfs manifest inspect debian\n  cfs manifest inspect -v quay.io/centos/centos:stream9",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			registryDefaults(cmd, t, g, &o.Registry)
			if insecure && o.Registry.TLSVerify != nil {
				return &usageError{errors.New("--insecure and --tls-verify are mutually exclusive"), cmd.CommandPath()}
			}
			if insecure {
				o.Registry.TLSVerify = new(bool)
			}
			return imagecmd.InspectManifest(cmd.Context(), o, t.out)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Verbose, "verbose", "v", false, "show every manifest of an index, with its descriptor and platform")
	f.BoolVar(&insecure, "insecure", false, "the same as --tls-verify=false")
	registryFlags(cmd)
	return cmd
}
