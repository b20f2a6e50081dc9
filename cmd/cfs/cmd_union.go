package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/background"
	"github.com/cfs-project/cfs/internal/resident"
	"github.com/cfs-project/cfs/unionfs"
)

// mountPrograms are the names by which cfs is the union's mount program itself;
// true for those that mount(8) calls.
var mountPrograms = map[string]bool{"fuse-overlayfs": false, "cfs-union": false, "mount.fuse.cfs": true, "mount.cfs": true}

// unionServer is argv[0] of the process that serves what `cfs union` mounts.
const unionServer = "cfs-union-server"

type unionOptions struct {
	Options    string // as -o gives them
	Target     string
	Source     string // from mount(8); fsname= goes before it
	foreground bool
	debug      bool
	fake       bool // from mount(8)
	verbose    bool // from mount(8)
}

// newUnion is the drop-in mount program: `cfs union`, and cfs itself under the
// names of mountPrograms.
func newUnion(t *terminal, name string) *cobra.Command {
	var o unionOptions
	var options []string
	byMount := mountPrograms[name]
	use := name + " -o lowerdir=A[:B...][,upperdir=U,workdir=W][,...] DIR"
	if byMount {
		use = name + " SOURCE DIR -o lowerdir=A[:B...][,...]"
	}
	cmd := &cobra.Command{
		Use:   use,
		Short: "Mount a union of directories, in place of fuse-overlayfs",
		Long: `Mount a union of plain directories in the background. The upper directory is in
the format of the kernel's overlayfs. Takes the options of fuse-overlayfs:
lowerdir, upperdir, workdir, volatile, uidmapping, gidmapping, squash_to_uid,
squash_to_gid, squash_to_root, xattr_permissions=0|2, userxattr, redirect_dir,
metacopy=on|off (copy no data when only attributes or names of a file change),
partial=on|off (copy a file's data where it is written to, not all at once),
copyup=open|write (copy a file up when it is opened for writing, which has every
open cost a request, or at the first write),
index=on|off (root: keep hard links of lower files together by the kernel's index in
the work directory, not by copying all names up: the upper directory alone is then not
what the union shows; off, what such an index holds is linked into it),
passthrough (root, Linux 6.9: whole files of the upper directory are read and
written by the kernel itself; opening a file then costs a request),
static_nlink, noacl, context, fsname, ro, allow_other, (no)suid, (no)dev, (no)exec,
debug. Those that ask for what is done anyhow (xino=on, fast_ino, threaded=1) are
taken. Unknown ones are passed over with a warning, as podman and mount(8) expect.

The mount's root is a directory of the filesystem's, so findmnt shows the source
as NAME[/union]; findmnt -v shows NAME.

When umount returns the lower directories' filesystems can be unmounted at once
if the union was mounted by root, also root of a user namespace. If it was mounted
by an ordinary user through fusermount3 that may take some milliseconds.`,
		Version:      version,
		SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if byMount {
				return exactly(2)(cmd, args)
			}
			return exactly(1)(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if byMount {
				o.Source = args[0]
			}
			o.Target = args[len(args)-1]
			o.Options = strings.Join(options, ",")
			return runUnion(t, o)
		},
	}
	if name != "union" {
		// podman info prints what a mount program says of itself.
		cmd.SetVersionTemplate("fuse-overlayfs: version 1.16 (cfs {{.Version}})\n")
		cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return &usageError{err, name} })
	}
	f := cmd.Flags()
	f.BoolP("version", "V", false, "print the version")
	f.StringArrayVarP(&options, "options", "o", nil, "mount `OPTIONS`, separated by commas")
	if byMount {
		f.BoolVarP(&o.fake, "fake", "f", false, "do all but mount")
		f.BoolP("sloppy", "s", false, "tolerate unknown options, which is always done")
		f.BoolP("no-mtab", "n", false, "don't write /etc/mtab, which is never done")
		f.BoolVarP(&o.verbose, "verbose", "v", false, "say what was mounted")
		f.StringP("types", "t", "", "the `TYPE` that mount(8) was asked for; has no effect")
	} else {
		f.BoolVarP(&o.debug, "debug", "d", false, "write every request to standard error; implies -f")
		f.BoolVarP(&o.foreground, "foreground", "f", false, "serve from this process, until it is ended or the union unmounted")
	}
	return cmd
}

func runUnion(t *terminal, o unionOptions) error {
	line, err := unionfs.ParseOptions(o.Options)
	if err != nil {
		return err
	}
	for _, w := range line.Warnings {
		if o.Source == "" { // mount(8) wants silence
			t.warn("%s", w)
		}
	}
	if o.Target, err = filepath.Abs(o.Target); err != nil {
		return err
	}
	if o.fake {
		return nil
	}
	if o.debug || line.Debugging {
		o.debug, o.foreground = true, true
	}
	if !o.foreground {
		err := background.Start(unionServer, o, nil)
		if err == nil && o.verbose {
			t.print("%s mounted on %s\n", cmp.Or(line.Source, o.Source), o.Target)
		}
		return err
	}
	srv, err := mountUnion(o)
	if err != nil {
		return err
	}
	resident.ForgetProgram() // as a server in the background does once it is ready
	return waitUnion(srv)
}

// unionServers are the servers of `cfs union`, for [background.Main].
func unionServers() background.Table {
	return background.Table{unionServer: func(s *background.Server) int {
		var o unionOptions
		err := s.Request(&o)
		if err != nil {
			s.Ready(err)
			return statusFailed
		}
		srv, err := mountUnion(o)
		s.Ready(err)
		if err != nil || waitUnion(srv) != nil {
			return statusFailed
		}
		return 0
	}}
}

// mountUnion mounts, and leaves the directory that the command was called in,
// where relative paths led from, so that it can be unmounted.
func mountUnion(o unionOptions) (*unionfs.Server, error) {
	background.Lean() // also in the foreground
	line, err := unionfs.ParseOptions(o.Options)
	if err != nil {
		return nil, err
	}
	if line.Source == "" {
		line.Source = o.Source
	}
	if o.debug {
		line.Debug = os.Stderr
	}
	u, err := unionfs.New(line.Options)
	if err != nil {
		return nil, err
	}
	if err := os.Chdir("/"); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	srv, err := unionfs.Mount(u, o.Target, line.MountOptions)
	if err != nil {
		return nil, errors.Join(err, u.Close())
	}
	return srv, nil
}

// waitUnion serves until the union is unmounted, or unmounts it when this
// process is told to end.
func waitUnion(srv *unionfs.Server) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(stop)
	for {
		select {
		case <-srv.Done():
			return nil
		case <-stop:
			if err := srv.Unmount(); err == nil {
				return nil
			} else if !errors.Is(err, unix.EBUSY) {
				return fmt.Errorf("unmount: %w", err)
			} // in use: it is served on
		}
	}
}
