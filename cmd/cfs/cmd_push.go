package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newPush(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.PushOptions
	var platform string
	cmd := &cobra.Command{
		Use:   "push NAME[:TAG]",
		Short: "Upload an image to a registry",
		Long: `Upload an image to the registry that its name begins with. What the registry has
is not sent, what another repository of it has is mounted from there, and an
upload that is interrupted goes on where the registry lets it.

An image that came from a registry goes back byte for byte. The plain layers of
one that was made here are compressed with gzip; it is kept that way, with the
digest that the registry gives it.`,
		Example: "  cfs tag app localhost:5000/team/app:1\n  cfs push localhost:5000/team/app:1",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Platform, err = platformFlag(cmd, platform); err != nil {
				return err
			}
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Name = args[0]
			registryDefaults(cmd, t, g, &o.Registry)
			return imagecmd.Push(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.AllTags, "all-tags", "a", false, "upload all tags of the repository")
	f.StringVar(&platform, "platform", "", "upload the image for `OS/ARCH[/VARIANT]` alone out of those of several platforms")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print the image's name alone")
	refuseFlag(f, "disable-content-trust", "", &refusedValue{why: noTrust, but: []string{"true"}}, "true")
	registryFlags(cmd)
	return cmd
}
