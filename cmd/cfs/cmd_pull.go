package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newPull(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.PullOptions
	var platform string
	cmd := &cobra.Command{
		Use:   "pull NAME[:TAG|@DIGEST]",
		Short: "Download an image from a registry",
		Long: `Download an image from a registry. Its layers come several at a time, and each is
verified, indexed and unpacked while it comes. What is here is not fetched; a
pull that was interrupted, killed even, goes on where it was.

A name without a registry is Docker Hub's, unless registries.conf has an alias for
it or registries to search; mirrors, insecure and blocked registries are taken
from there, too. Credentials are those of 'cfs login', docker, podman and skopeo.`,
		Example: `  cfs pull debian:bookworm
  cfs pull --platform linux/arm64 quay.io/centos/centos:stream9
  cfs pull localhost:5000/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`,
		Args: exactly(1),
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
			return boundHint(imagecmd.Pull(cmd.Context(), st, o, t.out))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.AllTags, "all-tags", "a", false, "download all tags of the repository")
	f.StringVar(&platform, "platform", os.Getenv("DOCKER_DEFAULT_PLATFORM"), "download the image for `OS/ARCH[/VARIANT]` (DOCKER_DEFAULT_PLATFORM)")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print the image's name alone")
	f.Int64Var(&o.MaxExpansion, "max-expansion", 0, "refuse a layer that unpacks to more than `N` times its size (0: 200, -1: no bound)")
	refuseFlag(f, "disable-content-trust", "", &refusedValue{why: noTrust, but: []string{"true"}}, "true")
	registryFlags(cmd)
	return cmd
}
