package imagecmd

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/internal/format"
)

// A Version is what `cfs version` knows, in Docker's fields. There is no daemon: the
// server is what does the work, which is the same program.
type Version struct {
	Client ProgramVersion
	Server ServerVersion
}

// A ProgramVersion tells what a program was built of.
type ProgramVersion struct {
	Version   string
	GitCommit string
	GoVersion string
	Os        string
	Arch      string
	BuildTime string // of the commit
}

// A ServerVersion tells also what it runs on.
type ServerVersion struct {
	ProgramVersion
	KernelVersion string
}

// PrintVersion prints the versions as lines or, with a format, as an object: "json", or a
// Go template of the fields of [Version].
func PrintVersion(version, spec string, out io.Writer) error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	p := ProgramVersion{Version: version, GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.revision":
				p.GitCommit = s.Value
			case "vcs.time":
				p.BuildTime = s.Value
			}
		}
	}
	v := Version{Client: p, Server: ServerVersion{p, unix.ByteSliceToString(uts.Release[:])}}
	if spec != "" {
		return printVersion(v, spec, out)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Client: cfs\n Version:\t%s\n Go version:\t%s\n", p.Version, p.GoVersion)
	if p.GitCommit != "" {
		fmt.Fprintf(w, " Git commit:\t%s\n Committed:\t%s\n", p.GitCommit, p.BuildTime)
	}
	fmt.Fprintf(w, " OS/Arch:\t%s/%s\n\nServer: none, as there is no daemon\n Kernel version:\t%s\n", p.Os, p.Arch, v.Server.KernelVersion)
	return w.Flush()
}

func printVersion(v Version, spec string, out io.Writer) error {
	if spec == "json" {
		spec = "{{json .}}"
	}
	objects, err := format.NewObjects(spec)
	if err != nil {
		return err
	}
	if err := objects.Add(v); err != nil {
		return err
	}
	_, err = objects.WriteTo(out)
	return err
}
