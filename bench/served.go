package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd"
	"github.com/cfs-project/cfs/internal/busy"
	"github.com/cfs-project/cfs/unionfs"
)

// serveName is argv[0] of the process that serves a [Served]. The first line of its
// standard input says what to mount, and its end has it unmounted.
const serveName = "cfs-bench-serve"

// Served is one of cfs's drivers over packed layers, mounted by another process of
// this program as cfs run would.
type Served struct {
	Label    string // the contestant's name; the driver's if empty
	Driver   string // the driver's name
	Home     string // store whose drivers/ the driver has for what it extracts; on Home's filesystem it works
	Dir      string // of its own, for the changes
	Target   string
	ReadOnly bool // no changes: for a driver that only shows images, or to measure that

	chain cow.Chain
	took  time.Duration // that making and mounting it last took
	cmd   *exec.Cmd
	hold  io.Closer // its standard input
}

type serveJob struct {
	Driver, Home string
	Snapshot     cow.Snapshot
	Target       string
	Options      cow.MountOptions
}

// Name implements [Contestant].
func (s *Served) Name() string {
	if s.Label == "" {
		return s.Driver
	}
	return s.Label
}

// Over implements [Contestant].
func (s *Served) Over(f Fixture, _ bool) error {
	s.chain = f.Chain
	return nil
}

// Mount implements [Contestant].
func (s *Served) Mount(context.Context) (string, error) {
	job := serveJob{s.Driver, s.Home, s.Snapshot(), s.Target, cow.MountOptions{ReadOnly: s.ReadOnly, AllowOther: true, Suid: true, Dev: true, Source: "cfs-bench"}}
	if !s.ReadOnly {
		if err := os.MkdirAll(s.Dir, 0o755); err != nil {
			return "", err
		}
	}
	// Not CommandContext: the server is ended by unmounting, also when interrupted.
	s.cmd = exec.Command("/proc/self/exe")
	s.cmd.Args[0] = serveName
	var talk strings.Builder
	s.cmd.Stderr = &talk
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := s.cmd.Start(); err != nil {
		return "", err
	}
	s.hold = in
	if err := json.NewEncoder(in).Encode(job); err != nil {
		return "", errors.Join(err, s.end())
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, bad := fmt.Sscanf(line, "ready %d\n", &s.took); err != nil || bad != nil {
		_ = s.end() // it has said why
		return "", errors.New(strings.TrimSpace(talk.String()))
	}
	return s.Target, nil
}

// MountTook implements [MountTimer]: without the start of the process.
func (s *Served) MountTook() time.Duration { return s.took }

// Snapshot is what is mounted.
func (s *Served) Snapshot() cow.Snapshot {
	if s.ReadOnly {
		return cow.Snapshot{Base: s.chain}
	}
	return cow.Snapshot{Dir: s.Dir, Base: s.chain}
}

// Unmount implements [Contestant].
func (s *Served) Unmount() error {
	if err := s.end(); err != nil {
		return fmt.Errorf("the server of %s: %w", s.Name(), err)
	}
	return nil
}

func (s *Served) end() error {
	if err := s.hold.Close(); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// Discard implements [Contestant].
func (s *Served) Discard() error {
	if s.ReadOnly || s.Dir == "" {
		return nil
	}
	d, err := s.CowDriver()
	if err != nil {
		return err
	}
	return errors.Join(d.Remove(context.Background(), s.Snapshot()), os.RemoveAll(s.Dir))
}

// CowDriver is the driver, in this process.
func (s *Served) CowDriver() (cow.Driver, error) { return driverNamed(s.Home, s.Driver) }

func driverNamed(home, name string) (cow.Driver, error) {
	for _, d := range imagecmd.Drivers(home, slog.New(slog.DiscardHandler)) {
		if d.Name() == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("there is no driver %q", name)
}

// Used implements [Spacer]: what all changes take that lie beside these, and what the
// driver extracted of images. On btrfs what is shared can't be told file by file, and the whole filesystem is
// looked at.
func (s *Served) Used() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.Home, &st); err == nil && int64(st.Type) == unix.BTRFS_SUPER_MAGIC {
		unix.Sync()
		err := unix.Statfs(s.Home, &st)
		return int64(st.Blocks-st.Bfree) * st.Bsize, err
	}
	return DiskUsage(filepath.Dir(s.Dir), filepath.Join(s.Home, "drivers"))
}

// Server implements [Contestant].
func (s *Served) Server() int {
	if s.Driver != unionfs.DriverName {
		return 0
	}
	return s.cmd.Process.Pid
}

// Serve is among the first things main calls: in a process that was started to serve a
// [Served] it does that and ends the process, in any other it does nothing.
func Serve() {
	if os.Args[0] != serveName {
		return
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(in io.Reader, out io.Writer) error {
	signal.Ignore(unix.SIGINT) // a terminal's is for who mounted; it ends this by unmounting
	ctx := context.Background()
	rd := bufio.NewReader(in)
	line, err := rd.ReadBytes('\n')
	if err != nil {
		return err
	}
	var job serveJob
	if err := json.Unmarshal(line, &job); err != nil {
		return err
	}
	drv, err := driverNamed(job.Home, job.Driver)
	if err != nil {
		return err
	}
	start := time.Now()
	if !job.Options.ReadOnly {
		if err := drv.Create(ctx, job.Snapshot); err != nil {
			return err
		}
	}
	m, err := drv.Mount(ctx, job.Snapshot, job.Target, job.Options)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "ready %d\n", time.Since(start)); err != nil {
		return errors.Join(err, m.Unmount())
	}
	// Until the parent closes it, or is no more.
	_, err = io.Copy(io.Discard, rd)
	return errors.Join(err, busy.Retry(m.Unmount))
}
