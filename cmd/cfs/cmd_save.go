package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newSave(t *terminal, g *globals) *cobra.Command {
	o := imagecmd.SaveOptions{Format: imagecmd.SaveFormats()[0]}
	var platform string
	cmd := &cobra.Command{
		Use:   "save IMAGE...",
		Short: "Save images to an archive or an OCI layout",
		Long: `Save images to a file, a directory or standard output, for cfs load, docker load,
skopeo, podman and umoci. Every blob keeps its digest, so that what comes back
is the same image. A repository without a tag is saved with all of its tags, an
image that is given by its ID without a name.`,
		Example: `  cfs save -o debian.tar debian
  cfs save debian alpine:3 | ssh host cfs load
  cfs save --format oci-dir -o layout debian`,
		Args: atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(imagecmd.SaveFormats(), o.Format) {
				return &usageError{fmt.Errorf("unknown format %q: it is one of %v", o.Format, imagecmd.SaveFormats()), cmd.CommandPath()}
			}
			var err error
			if o.Platform, err = platformFlag(cmd, platform); err != nil {
				return err
			}
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Images = args
			return imagecmd.Save(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Output, "output", "o", "", "write to `FILE|DIR` instead of standard output")
	f.StringVar((*string)(&o.Format), "format", string(o.Format), "write a `FORMAT`: docker-archive, oci-archive or oci-dir")
	f.StringVar(&platform, "platform", "", "save the image for `OS/ARCH[/VARIANT]` out of those of several platforms")
	return cmd
}
