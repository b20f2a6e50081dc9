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

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/unionfs"
)

// serveEnv marks the process that serves a [Union]. The first line of its
// standard input says what to mount, every other one asks for the counts of
// requests, and its end has it unmounted.
const serveEnv = "CFS_BENCH_SERVE"

// Union is cfs's own union over packed layers, served by another process of
// this program with the driver that cfs run uses.
type Union struct {
	Chain    cow.Chain
	Dir      string // of its own, for the changes
	Target   string
	ReadOnly bool
	cmd      *exec.Cmd
	ask      io.WriteCloser
	answer   *bufio.Reader
}

type unionJob struct {
	Snapshot cow.Snapshot
	Target   string
	Options  cow.MountOptions
}

// Name implements [Contestant].
func (u *Union) Name() string { return "cfs" }

// Mount implements [Contestant].
func (u *Union) Mount(context.Context) (string, error) {
	job := unionJob{cow.Snapshot{Base: u.Chain}, u.Target, cow.MountOptions{ReadOnly: u.ReadOnly, AllowOther: true, Suid: true, Dev: true, Source: "cfs-bench"}}
	if !u.ReadOnly {
		job.Snapshot.Dir = u.Dir
	}
	// Not CommandContext: the server is ended by unmounting, also when interrupted.
	u.cmd = exec.Command("/proc/self/exe")
	u.cmd.Args[0] = "cfs-bench-packed"
	u.cmd.Env = append(os.Environ(), serveEnv+"=1")
	u.cmd.Stderr = os.Stderr
	in, err := u.cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	out, err := u.cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := u.cmd.Start(); err != nil {
		return "", err
	}
	u.ask, u.answer = in, bufio.NewReader(out)
	if err := json.NewEncoder(in).Encode(job); err != nil {
		return "", errors.Join(err, u.Unmount())
	}
	if line, err := u.answer.ReadString('\n'); err != nil || line != "ready\n" {
		return "", errors.Join(fmt.Errorf("the union's server did not start: %q", line), u.Unmount())
	}
	return u.Target, nil
}

// Unmount implements [Contestant].
func (u *Union) Unmount() error {
	if err := u.ask.Close(); err != nil {
		return err
	}
	if err := u.cmd.Wait(); err != nil {
		return fmt.Errorf("the union's server: %w", err)
	}
	return nil
}

// Server implements [Contestant].
func (u *Union) Server() int { return u.cmd.Process.Pid }

// Requests is how many requests the kernel has sent so far, by opcode.
func (u *Union) Requests() (map[string]uint64, error) {
	if _, err := io.WriteString(u.ask, "requests\n"); err != nil {
		return nil, err
	}
	line, err := u.answer.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the union's server: %w", err)
	}
	var m map[string]uint64
	return m, json.Unmarshal(line, &m)
}

// Serve is the first thing main calls: in a process that was started to serve a
// [Union] it does that and ends the process, in any other it does nothing.
func Serve() {
	if os.Getenv(serveEnv) == "" {
		return
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench: serve union:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(in io.Reader, out io.Writer) error {
	ctx := context.Background()
	rd := bufio.NewReader(in)
	line, err := rd.ReadBytes('\n')
	if err != nil {
		return err
	}
	var job unionJob
	if err := json.Unmarshal(line, &job); err != nil {
		return err
	}
	drv := unionfs.NewDriver(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if !job.Options.ReadOnly {
		if err := os.MkdirAll(job.Snapshot.Dir, 0o755); err != nil {
			return err
		}
		if err := drv.Create(ctx, job.Snapshot); err != nil {
			return err
		}
	}
	m, err := drv.Mount(ctx, job.Snapshot, job.Target, job.Options)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, "ready\n"); err != nil {
		return errors.Join(err, m.Unmount())
	}
	// Until the parent closes it, or is no more.
	for _, err = rd.ReadString('\n'); err == nil; _, err = rd.ReadString('\n') {
		if err := json.NewEncoder(out).Encode(m.(*unionfs.Server).FS().Requests()); err != nil {
			break
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, m.Unmount())
}
