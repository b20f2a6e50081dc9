package main

import (
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

// registryFlags are the flags of all commands that speak with registries.
func registryFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Bool("tls-verify", true, "verify certificates; =false also allows plain HTTP (default: as registries.conf says)")
	f.Lookup("tls-verify").DefValue = "" // it has none of its own
	f.String("cert-dir", "", "take certificates (*.crt, *.cert and *.key) from `DIR` instead of certs.d")
}

// registryDefaults fills in what those flags say, and what the program knows.
func registryDefaults(cmd *cobra.Command, t *terminal, g *globals, o *imagecmd.RegistryOptions) {
	f := cmd.Flags()
	if f.Changed("tls-verify") {
		verify, _ := f.GetBool("tls-verify")
		o.TLSVerify = &verify
	}
	o.CertDir, _ = f.GetString("cert-dir")
	o.Version, o.Log, o.Talk = version, g.log(t), t.err
}
