package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

// imageFlags are the flags of run and create about where the image comes from.
type imageFlags struct{ platform string }

func (r *imageFlags) register(cmd *cobra.Command, o *imagecmd.ImageSource) {
	f := cmd.Flags()
	f.StringVar(&o.Pull, "pull", imagecmd.PullMissing, "pull the image `always|missing|never`")
	f.StringVar(&r.platform, "platform", os.Getenv("DOCKER_DEFAULT_PLATFORM"), "use the image for `OS/ARCH[/VARIANT]` (DOCKER_DEFAULT_PLATFORM)")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "don't show how a pull goes on")
	registryFlags(cmd)
}

func (r *imageFlags) read(cmd *cobra.Command, o *imagecmd.ImageSource) (err error) {
	if o.Platform, err = platformFlag(cmd, r.platform); err != nil {
		return err
	}
	return o.Check()
}
