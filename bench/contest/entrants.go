package contest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd"
	"github.com/cfs-project/cfs/runtime/userns"
)

// An entrant is a contestant, and how to make more of the same.
type entrant struct {
	bench.Entrant
	home string // of a driver: the store that it works in
	// make makes the nth of them, which share what they can; nil for what is measured by
	// commands only.
	make func(n int) (bench.Contestant, error)
}

// A field is all entrants, and what they stand on.
type field struct {
	dir     string
	all     []entrant
	volumes []*volume
	podmans []bench.Podman // whose storage is to be removed
	temps   []string       // directories outside of dir that are, too
}

// newField finds out who takes part. close it.
func newField(ctx context.Context, dir string, o *Options) (*field, error) {
	f := &field{dir: dir}
	f.add(entrant{Entrant: bench.Entrant{Name: "native", Kind: bench.Limit, Usable: true}, make: func(n int) (bench.Contestant, error) {
		return &bench.Native{Copy: filepath.Join(dir, "native", strconv.Itoa(n))}, nil
	}})
	f.union(ctx, bench.Entrant{Name: "overlay", Kind: bench.Reference, Note: "the kernel's, over extracted directories"}, func(s bench.Stack) bench.Contestant {
		return &bench.Overlay{Stack: s, UserXattr: !initialNamespace()}
	})
	for _, d := range imagecmd.Drivers(filepath.Join(dir, "home"), slog.New(slog.DiscardHandler)) {
		if o.wants(d.Name()) {
			if err := f.driver(ctx, d); err != nil {
				return f, err
			}
		}
	}
	f.peers(ctx)
	return f, nil
}

func (f *field) add(e entrant) { f.all = append(f.all, e) }

// close removes what drivers have extracted, and unmounts what they stand on.
func (f *field) close() error {
	var err error
	for _, p := range f.podmans {
		err = errors.Join(err, p.Remove())
	}
	for _, d := range f.temps {
		err = errors.Join(err, os.RemoveAll(d))
	}
	for _, e := range f.all {
		for _, home := range []string{e.home, filepath.Join(e.home, spaceHome)} {
			d, failed := (&bench.Served{Home: home, Driver: e.Name}).CowDriver()
			if p, ok := d.(cow.Pruner); ok && failed == nil && e.Usable && e.home != "" {
				err = errors.Join(err, p.Prune(context.Background(), nil))
			}
		}
	}
	for _, v := range f.volumes {
		err = errors.Join(err, v.close())
	}
	return err
}

// driver adds one of cfs's drivers.
func (f *field) driver(ctx context.Context, d cow.Driver) error {
	name := d.Name()
	e := entrant{Entrant: bench.Entrant{Name: name, Kind: bench.Driver, Usable: true, ViewsOnly: cow.Describe(d).ViewsOnly}, home: filepath.Join(f.dir, "home")}
	err := d.Probe(ctx)
	if err != nil && cow.Describe(d).Backing == "btrfs" && initialNamespace() {
		v, failed := newVolume(ctx, f.dir)
		if failed == nil {
			f.volumes = append(f.volumes, v)
			e.home, e.Note, err = v.dir, v.note, nil
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	var u *cow.Unusable
	switch {
	case errors.As(err, &u):
		e.Usable, e.Reason, e.Hint = false, u.Reason, u.Hint
	case err != nil:
		e.Usable, e.Reason = false, err.Error()
	}
	home := e.home
	e.make = func(n int) (bench.Contestant, error) {
		target, err := f.point(name, n)
		return &bench.Served{Driver: name, Home: home, Dir: filepath.Join(home, "changes-"+name, strconv.Itoa(n)), Target: target, ReadOnly: e.ViewsOnly}, err
	}
	f.add(e)
	return nil
}

// union adds what mounts a stack of extracted directories, after trying it.
func (f *field) union(ctx context.Context, about bench.Entrant, make func(bench.Stack) bench.Contestant) {
	e := entrant{Entrant: about, make: func(n int) (bench.Contestant, error) {
		target, err := f.point(about.Name, n)
		dir := filepath.Join(f.dir, about.Name, strconv.Itoa(n))
		return make(bench.Stack{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), Target: target}), err
	}}
	e.Usable = true
	if err := f.try(ctx, e); err != nil {
		e.Usable, e.Reason = false, oneLine(err)
	}
	f.add(e)
}

// try mounts a contestant once.
func (f *field) try(ctx context.Context, e entrant) error {
	c, err := e.make(0)
	if err != nil {
		return err
	}
	empty := filepath.Join(f.dir, "empty")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		return err
	}
	if err := c.Over(bench.Fixture{Lowers: []string{empty}, Merged: empty}, true); err != nil {
		return err
	}
	if _, err := c.Mount(ctx); err != nil {
		return errors.Join(err, c.Discard())
	}
	return errors.Join(c.Unmount(), c.Discard())
}

// point is a directory to mount on.
func (f *field) point(name string, n int) (string, error) {
	d := filepath.Join(f.dir, "mnt", name, strconv.Itoa(n))
	return d, os.MkdirAll(d, 0o755)
}

// peers adds other people's unions, those that are installed.
func (f *field) peers(ctx context.Context) {
	if path, err := exec.LookPath("fuse-overlayfs"); err == nil {
		f.union(ctx, bench.Entrant{Name: "fuse-overlayfs", Kind: bench.Peer, Version: version(ctx, path, "--version")}, func(s bench.Stack) bench.Contestant {
			return &bench.MountProgram{Label: "fuse-overlayfs", Argv: []string{path}, Stack: s}
		})
	}
	for _, name := range []string{"unionfs", "unionfs-fuse"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		f.union(ctx, bench.Entrant{Name: "unionfs-fuse", Kind: bench.Peer, Version: version(ctx, path, "--version")}, func(s bench.Stack) bench.Contestant {
			return &bench.MountProgram{Label: "unionfs-fuse", Argv: []string{path}, Stack: s, Args: func(s *bench.Stack) []string {
				return []string{"-f", "-o", "cow,allow_other,use_ino,suid,dev", s.Upper + "=RW:" + strings.Join(s.Lowers, "=RO:") + "=RO", s.Target}
			}}
		})
		break
	}
}

// version is the first line with a number that a program says of its version.
func version(ctx context.Context, path string, args ...string) string {
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if strings.ContainsAny(line, "0123456789") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// initialNamespace tells whether this process is root itself, not that of a user namespace.
func initialNamespace() bool {
	m, err := userns.Current()
	return err == nil && m.Privileged() && os.Geteuid() == 0
}

// oneLine is an error on one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// canDrop tells whether this process may drop the kernel's caches.
func canDrop() bool { return unix.Access("/proc/sys/vm/drop_caches", unix.W_OK) == nil }
