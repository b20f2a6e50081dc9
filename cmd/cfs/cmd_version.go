package main

import (
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd"
)

// versions is what `cfs version` knows, in the fields of `docker version`, whose Server
// there is none of.
type versions struct {
	Client clientVersion
	Server *struct{}
}

type clientVersion struct{ Version, GoVersion, Os, Arch, KernelVersion string }

func newVersion(t *terminal, _ *globals) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Tell which cfs this is",
		Example: "  cfs version\n  cfs version -f '{{.Client.Version}}'",
		Args:    exactly(0),
		RunE: func(*cobra.Command, []string) error {
			var uts unix.Utsname
			if err := unix.Uname(&uts); err != nil {
				return err
			}
			v := versions{Client: clientVersion{version, runtime.Version(), runtime.GOOS, runtime.GOARCH, unix.ByteSliceToString(uts.Release[:])}}
			if format != "" {
				return templated(imagecmd.Format(v, format, t.out))
			}
			t.print("Client:\n Version:           %s\n Go version:        %s\n OS/Arch:           %s/%s\n Kernel Version:    %s\n",
				v.Client.Version, v.Client.GoVersion, v.Client.Os, v.Client.Arch, v.Client.KernelVersion)
			return nil
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "print with a Go `TEMPLATE`, or 'json' for one line")
	return cmd
}
