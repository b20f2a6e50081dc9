package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newManifest(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manifest COMMAND",
		Short: "Look at manifests in a registry, and make lists of them",
		Long: `Look at manifests in a registry, and make lists of them: one name for the images of
several platforms. A list is made here, of images that are in a registry, and pushed.`,
		Example: `  cfs manifest create R/app:1 R/app:1-amd64 R/app:1-arm64
  cfs manifest annotate --arch arm64 --variant v8 R/app:1 R/app:1-arm64
  cfs manifest push R/app:1`,
		Args: groupArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newManifestInspect(t, g), newManifestCreate(t, g), newManifestAnnotate(t, g), newManifestPush(t, g), newManifestRemove(t, g))
	return cmd
}

// manifestFlags are those of the commands that speak with registries.
func manifestFlags(cmd *cobra.Command) {
	cmd.Flags().Bool("insecure", false, "the same as --tls-verify=false")
	registryFlags(cmd)
}

func manifestDefaults(cmd *cobra.Command, t *terminal, g *globals, o *imagecmd.RegistryOptions) error {
	registryDefaults(cmd, t, g, o)
	insecure, _ := cmd.Flags().GetBool("insecure")
	if insecure && o.TLSVerify != nil {
		return &usageError{errors.New("--insecure and --tls-verify are mutually exclusive"), cmd.CommandPath()}
	}
	if insecure {
		o.TLSVerify = new(bool)
	}
	return nil
}

func newManifestInspect(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.ManifestOptions
	cmd := &cobra.Command{
		Use:   "inspect [LIST] NAME[:TAG|@DIGEST]",
		Short: "Show a manifest, or the index of several platforms",
		Long: `Show a list that was made here, or of it one image; else a manifest, or the index of
several platforms, as the registry has it. No layer is fetched, and nothing is kept.`,
		Example: "  cfs manifest inspect debian\n  cfs manifest inspect -v quay.io/centos/centos:stream9",
		Args:    between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Name = args[0]; len(args) == 2 {
				o.List, o.Name = args[0], args[1]
			}
			if err := manifestDefaults(cmd, t, g, &o.Registry); err != nil {
				return err
			}
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.InspectManifest(cmd.Context(), dir, o, t.out)
		},
	}
	cmd.Flags().BoolVarP(&o.Verbose, "verbose", "v", false, "show every manifest of an index, with its descriptor and platform")
	manifestFlags(cmd)
	return cmd
}

func newManifestCreate(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.ManifestListOptions
	cmd := &cobra.Command{
		Use:   "create LIST IMAGE...",
		Short: "Make a list of images that are in a registry",
		Long: `Make a list of images that are in a registry, each of them for one platform, which its
config tells. The list is kept here until it is pushed to the registry of its name.`,
		Example: "  cfs manifest create R/app:1 R/app:1-amd64 R/app:1-arm64",
		Args:    atLeast(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.List, o.Images = args[0], args[1:]
			if err := manifestDefaults(cmd, t, g, &o.Registry); err != nil {
				return err
			}
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.CreateManifestList(cmd.Context(), dir, o, t.out)
		},
	}
	cmd.Flags().BoolVarP(&o.Amend, "amend", "a", false, "add to a list that is there")
	manifestFlags(cmd)
	return cmd
}

func newManifestAnnotate(_ *terminal, g *globals) *cobra.Command {
	var o imagecmd.AnnotateOptions
	cmd := &cobra.Command{
		Use:     "annotate LIST IMAGE",
		Short:   "Change what a list tells of an image's platform",
		Long:    "Change what a list tells of an image's platform. What no flag is given for stays.",
		Example: "  cfs manifest annotate --arch arm64 --variant v8 R/app:1 R/app:1-arm64",
		Args:    exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			o.List, o.Image = args[0], args[1]
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.AnnotateManifest(dir, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.OS, "os", "", "the operating `SYSTEM`")
	f.StringVar(&o.Arch, "arch", "", "the `ARCHITECTURE`")
	f.StringVar(&o.Variant, "variant", "", "the `VARIANT` of the architecture")
	f.StringVar(&o.OSVersion, "os-version", "", "the `VERSION` of the operating system")
	f.StringSliceVar(&o.OSFeatures, "os-features", nil, "one more `FEATURE` of the operating system that is needed; several with commas")
	return cmd
}

func newManifestPush(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.PushManifestOptions
	cmd := &cobra.Command{
		Use:   "push LIST",
		Short: "Put a list into the registry of its name",
		Long: `Put a list into the registry of its name. Images of other repositories of that
registry come along: it is asked to mount their layers, so that nothing is
downloaded. The digest of the list is printed.`,
		Example: "  cfs manifest push --purge R/app:1",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.List = args[0]
			if err := manifestDefaults(cmd, t, g, &o.Registry); err != nil {
				return err
			}
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.PushManifestList(cmd.Context(), dir, o, t.out)
		},
	}
	cmd.Flags().BoolVarP(&o.Purge, "purge", "p", false, "remove the list here when it is pushed")
	manifestFlags(cmd)
	return cmd
}

func newManifestRemove(t *terminal, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "rm LIST...",
		Short:   "Remove lists that were made here",
		Example: "  cfs manifest rm R/app:1",
		Args:    atLeast(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return eachFailed(t, imagecmd.RemoveManifestLists(dir, args))
		},
	}
}
