package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newLogin(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.LoginOptions
	cmd := &cobra.Command{
		Use:   "login [REGISTRY]",
		Short: "Log in to a registry",
		Long: `Log in to a registry; without one, to Docker Hub. If it knows the user, the
credentials are kept where docker keeps them: in $DOCKER_CONFIG/config.json
(~/.docker), or with the docker-credential program that this file names. Where
only podman's auth.json is there they go into that; $REGISTRY_AUTH_FILE overrides
both. A file that others may read gets no password.

Without user and password those that are kept are tried, and new ones asked for.`,
		Example: "  cfs login quay.io\n  pass registry | cfs login -u alice --password-stdin registry.example.com:5000",
		Args:    between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("password") {
				if o.PasswordStdin {
					return &usageError{errors.New("--password and --password-stdin are mutually exclusive"), cmd.CommandPath()}
				}
				t.note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
			}
			if len(args) > 0 {
				o.Server = args[0]
			}
			o.Stdin = t.in
			registryDefaults(cmd, t, g, &o.Registry)
			return imagecmd.Login(cmd.Context(), o, t.out)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Username, "username", "u", "", "the user's `NAME`")
	f.StringVarP(&o.Password, "password", "p", "", "the `PASSWORD`, which all users of this host can see then")
	f.BoolVar(&o.PasswordStdin, "password-stdin", false, "read the password from standard input")
	registryFlags(cmd)
	return cmd
}

func newLogout(t *terminal, _ *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "logout [REGISTRY]",
		Short: "Log out from a registry",
		Long: `Forget the credentials of a registry; without one, of Docker Hub. They go from
docker's config.json, podman's auth.json, and the docker-credential programs these name.`,
		Example: "  cfs logout quay.io",
		Args:    between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server := ""
			if len(args) > 0 {
				server = args[0]
			}
			return imagecmd.Logout(cmd.Context(), server, t.out)
		},
	}
}
