package imagecmd

import (
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
	"syscall"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
	"golang.org/x/sys/unix"
)

// serveStage is the argv[0] of the process that serves a mount of `cfs mount`.
const serveStage = "cfs-serve"

// Descriptors a server is started with, after the three standard ones.
const (
	serveRequestFD = 3 // its serveRequest as JSON, to the end
	serveReadyFD   = 4 // where it says how it went: a serveReply, then closed
	serveLockFD    = 5 // the container's lock, held
)

type serveRequest struct {
	Root       string
	ID         string
	Target     string
	AllowOther bool
	Debug      bool
}

type serveReply struct {
	Error, Hint string
}

// startServer starts this binary again as the server of a mount, in a session
// of its own, and waits until it says that the mount is usable.
func startServer(req serveRequest, lock *os.File) error {
	request, err := jsonPipe(req)
	if err != nil {
		return err
	}
	defer request.Close()
	ready, done, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{serveStage}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{request, done, lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if req.Debug {
		cmd.Stderr = os.Stderr
	}
	err = cmd.Start()
	done.Close()
	if err != nil {
		return fmt.Errorf("starting the server of the mount: %w", err)
	}
	var reply serveReply
	if err := json.NewDecoder(ready).Decode(&reply); err != nil {
		werr := cmd.Wait()
		return fmt.Errorf("the server of the mount died: %w", errors.Join(werr, ignoreEOF(err)))
	}
	if reply.Error != "" {
		_ = cmd.Wait()
		return &hinted{errors.New(reply.Error), reply.Hint}
	}
	return cmd.Process.Release()
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// jsonPipe returns a pipe to read v from, whole.
func jsonPipe(v any) (*os.File, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("cfs-request", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "request")
	if _, err := f.Write(b); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// serveMain is the server of a mount. It ends when the mount is gone, or when
// it is told to.
func serveMain() int {
	unix.CloseOnExec(serveRequestFD)
	unix.CloseOnExec(serveReadyFD)
	unix.CloseOnExec(serveLockFD)
	ready := os.NewFile(serveReadyFD, "ready")
	say := func(err error) int {
		reply := serveReply{}
		if err != nil {
			reply.Error = err.Error()
			var h interface{ HintText() string }
			if errors.As(err, &h) {
				reply.Hint = h.HintText()
			}
		}
		_ = json.NewEncoder(ready).Encode(reply)
		ready.Close()
		if err != nil {
			return 1
		}
		return 0
	}
	var req serveRequest
	request := os.NewFile(serveRequestFD, "request")
	err := json.NewDecoder(request).Decode(&req)
	request.Close()
	if err != nil {
		return say(fmt.Errorf("reading the request: %w", err))
	}
	log := slog.New(slog.DiscardHandler)
	if req.Debug {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c := &Container{dir: filepath.Join(OpenContainers(req.Root).dir(), req.ID), lock: os.NewFile(serveLockFD, "lock")}
	if err := readJSON(filepath.Join(c.dir, containerConfig), c); err != nil {
		return say(err)
	}
	if err := c.serve(req, log, func() { say(nil) }); err != nil {
		return say(err)
	}
	return 0
}

// serve mounts, says so, and waits for the end.
func (c *Container) serve(req serveRequest, log *slog.Logger, ready func()) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer stop()
	st, err := store.Open(req.Root, store.Options{})
	if err != nil {
		return err
	}
	all := Drivers(req.Root, log)
	d, err := pickDriver(ctx, all, c.Driver)
	if err != nil {
		return err
	}
	image, err := st.Resolve(ctx, c.ImageID.String())
	if err != nil {
		return err
	}
	chain, release, err := st.Chain(ctx, image)
	if err != nil {
		return err
	}
	defer release()
	snap := c.snapshot(chain)
	if !c.ReadOnly {
		if err := d.Create(ctx, snap); err != nil {
			return err
		}
	}
	m, err := d.Mount(ctx, snap, req.Target, cow.MountOptions{
		ReadOnly: c.ReadOnly, AllowOther: req.AllowOther, Source: c.Image,
	})
	if err != nil {
		return err
	}
	ready()
	select {
	case <-m.Done():
	case <-ctx.Done():
	}
	err = m.Unmount()
	if c.ReadOnly || c.Name == "" && empty(context.Background(), d, snap) {
		return errors.Join(err, c.remove(context.Background(), all))
	}
	return err
}
