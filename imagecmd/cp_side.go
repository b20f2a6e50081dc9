package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// A copySide is the container's side of a copy: its monitor, or, if it doesn't run, a
// process that has its root mounted meanwhile.
//
//	cfs cp ── request, a pipe's end ──► monitor or cfs-hold ── root, pipe's end ──► cfs-cp
//	   └────────────────── the tar, through the pipe ───────────────────────────────┘
type copySide struct {
	c    *Container
	name string       // as the person called it
	held *controlConn // to who holds the container; nil: it runs
	end  func() error
}

// openCopySide finds a container and how its files are reached.
func openCopySide(ctx context.Context, st *store.Store, name string) (*copySide, error) {
	c, err := OpenContainers(st.Root()).Find(name)
	if err != nil {
		return nil, err
	}
	if c.ReadOnly || c.MountedAt != "" && c.Running() {
		err := fmt.Errorf("%s is a mount, and has no process", c.Label())
		return nil, hint.With(err, "copy files below "+c.MountedAt+", while it is mounted")
	}
	s := &copySide{c: c, name: name, end: func() error { return nil }}
	// Whoever else copies holds it for a while, and so does one that is about to run.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := c.dial(); err == nil {
			conn.Close()
			return s, nil
		} else if !errors.Is(err, ErrNotRunning) {
			return nil, err
		}
		err := s.hold(ctx, st)
		if err == nil {
			return s, nil
		}
		if err.Error() != holdBusy || ctx.Err() != nil || time.Now().After(deadline) {
			return nil, err
		}
	}
}

// hold starts who holds the container, with its root mounted, until close.
func (s *copySide) hold(ctx context.Context, st *store.Store) error {
	image, err := st.Resolve(ctx, s.c.ImageID.String())
	if err != nil {
		return err
	}
	chain, release, err := st.Chain(ctx, image)
	if err != nil {
		return err
	}
	s.end = func() error { release(); return nil }
	conn, theirs, err := controlPair()
	if err == nil {
		defer theirs.Close()
		s.held = conn
		err = s.start(holdRequest{Root: st.Root(), ID: s.c.ID, Chain: chain}, theirs)
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	return nil
}

func (s *copySide) start(req holdRequest, theirs *os.File) error {
	payload, err := json.Marshal(req)
	if err != nil {
		return err
	}
	mapping, problems := userns.Detect()
	for _, p := range problems {
		if p.Fatal {
			return hint.With(p, p.Hint)
		}
	}
	p, err := stage.Start(mapping, holdStage, payload, stage.Stdio{In: theirs, Err: os.Stderr})
	if err != nil {
		return err
	}
	release := s.end
	s.end = func() error {
		s.held.CloseWrite()
		_, err := s.held.answer(s.c) // of its end
		status, werr := p.Attend()
		if err == nil && werr == nil && status != 0 {
			werr = fmt.Errorf("%s ended with status %d", holdStage, status)
		}
		return errors.Join(err, werr, release())
	}
	theirs.Close()
	_, err = s.held.answer(s.c)
	if err != nil { // it has ended, and this was its last answer
		_, _ = p.Attend()
		s.end = release
	}
	return err
}

// close lets go of the container.
func (s *copySide) close() error {
	end := s.end
	s.end = func() error { return nil }
	err := end()
	if s.held != nil {
		s.held.Close()
		s.held = nil
	}
	return err
}

// controlPair is a connection, and its other end for a stage.
func controlPair() (*controlConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	conn, err := controlFile(os.NewFile(uintptr(pair[0]), "control"))
	if err != nil {
		theirs.Close()
	}
	return conn, theirs, err
}

// controlFile is the connection that a file is, which it closes.
func controlFile(f *os.File) (*controlConn, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return &controlConn{UnixConn: conn.(*net.UnixConn)}, nil
}

// do has a request done. The file, if there is one, is handed over, and the other end
// of it is what meanwhile is about.
func (s *copySide) do(req copyRequest, file *os.File, meanwhile func() error) (cpObject, error) {
	conn := s.held
	if conn == nil {
		var err error
		if conn, err = s.c.dial(); err != nil {
			return cpObject{}, err
		}
		defer conn.Close()
	}
	var files []*os.File
	if file != nil {
		files = append(files, file)
	}
	err := conn.send(controlRequest{Op: opCopy, Copy: &req}, files...)
	if file != nil {
		file.Close()
	}
	if err != nil {
		return cpObject{}, s.c.lost(err)
	}
	var mine error
	if meanwhile != nil {
		mine = meanwhile()
	}
	r, err := conn.answer(s.c)
	if err == nil {
		err = s.failed(req, r.Copied)
	}
	// An end that came too early, or of a pipe that nobody reads, is the other's error.
	if mine != nil && (err == nil || !errors.Is(mine, unix.EPIPE) && !errors.Is(mine, io.ErrUnexpectedEOF)) {
		err = mine
	}
	if err != nil {
		return cpObject{}, err
	}
	return r.Copied.Object, nil
}

// failed is why a request failed, in Docker's words.
func (s *copySide) failed(req copyRequest, a *copyAnswer) error {
	switch {
	case a == nil:
		return fmt.Errorf("the monitor of container %s answers something else", s.c.Label())
	case a.Missing:
		return sentencef(nil, "No such container:path: %s:%s", s.name, req.Path)
	case a.Error == errMustBeADir.Error():
		return fmt.Errorf("destination \"%s:%s\" must be a directory", s.name, req.Path)
	case a.Error != "":
		return errors.New(a.Error)
	}
	return nil
}
