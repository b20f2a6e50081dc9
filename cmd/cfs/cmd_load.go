package main

import (
	"errors"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/layerpack"
)

func newLoad(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.LoadOptions
	var platform string
	cmd := &cobra.Command{
		Use:   "load [-i FILE|DIR]",
		Short: "Load images from an archive or an OCI layout",
		Long: `Load images from a file, a directory or standard input: an archive of
docker save of any age (docker-archive), an OCI archive, or an OCI image layout,
an archive plain or compressed with gzip, zstd, xz or bzip2. Every layer is
verified, indexed, and not extracted. A load that is interrupted leaves nothing
half: the next one goes on with the layers that were done.`,
		Example: "  cfs load -i debian.tar\n  skopeo copy docker://debian oci-archive:/dev/stdout | cfs load",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Platform, err = platformFlag(cmd, platform); err != nil {
				return err
			}
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Stdin = t.in
			return boundHint(imagecmd.Load(cmd.Context(), st, o, t.out))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Input, "input", "i", "", "read from `FILE|DIR` instead of standard input")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "show no progress")
	f.StringVar(&platform, "platform", "", "load the image for `OS/ARCH[/VARIANT]` out of those of several platforms")
	f.Int64Var(&o.MaxExpansion, "max-expansion", 0, "refuse a layer that unpacks to more than `N` times its size (0: 200, -1: no bound)")
	return cmd
}

// platformFlag reads the value of --platform; nil when it is not given.
func platformFlag(cmd *cobra.Command, value string) (*ocispec.Platform, error) {
	if value == "" {
		return nil, nil
	}
	p, err := store.ParsePlatform(value)
	if err != nil {
		return nil, &usageError{err, cmd.CommandPath()}
	}
	return &p, nil
}

func newImport(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.ImportOptions
	var platform string
	cmd := &cobra.Command{
		Use:   "import FILE|URL|- [NAME[:TAG]]",
		Short: "Make an image of one layer from a tar of a root filesystem",
		Long: `Make an image of one layer from a tar, plain or compressed with gzip, zstd, xz
or bzip2, and print its ID. The tar is kept as it is; with SOURCE_DATE_EPOCH set
the same tar makes the same image.`,
		Example: `  mmdebstrap --variant=minbase bookworm - | cfs import - debian
  cfs import -c 'CMD ["sh"]' -c 'ENV LANG=C.UTF-8' -m 'from the archive' root.tar.xz box:1`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Platform, err = platformFlag(cmd, platform); err != nil {
				return err
			}
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Input, o.Stdin = args[0], t.in
			if len(args) > 1 {
				o.Name = args[1]
			}
			return boundHint(imagecmd.Import(cmd.Context(), st, o, t.out))
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.Changes, "change", "c", nil, "apply a Dockerfile `INSTRUCTION` to the image, such as 'CMD [\"sh\"]'; may be repeated")
	f.StringVarP(&o.Message, "message", "m", "", "a `TEXT` for the image's history")
	f.StringVar(&platform, "platform", "", "the image is for `OS/ARCH[/VARIANT]`, not for this machine")
	f.Int64Var(&o.MaxExpansion, "max-expansion", 0, "refuse a tar that unpacks to more than `N` times its size (0: 200, -1: no bound)")
	return cmd
}

// boundHint says how a refused layer may be let in.
func boundHint(err error) error {
	if errors.Is(err, layerpack.ErrBomb) {
		return hint.With(err, "if you trust it, raise the bound with --max-expansion N (-1: none)")
	}
	return err
}
