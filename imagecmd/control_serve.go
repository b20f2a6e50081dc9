package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/cgroup"
)

// A controller is the monitor's end of a container's control socket: it serves from
// before the container's process begins until its end is told to all who wait for it.
type controller struct {
	c       *Container
	log     *slog.Logger
	l       *net.UnixListener
	signals chan os.Signal // to the container's process
	streams *streams       // nil: its files are those of the command that started it
	rootfs  string

	mu      sync.Mutex // protects what follows
	pid     int        // of the container's PID 1, 0 before it runs
	spec    *specs.Spec
	group   *cgroup.Group // nil: it has none of its own
	late    bool          // which it got only while it ran
	gone    bool          // it has ended, and nothing is changed any more
	init    bool          // PID 1 is cfs's own
	outside bool          // and not in the group
	// starting is how many inits of ours are about to execute a command in it.
	starting int
	paused   *runtime.Paused
	onState  func(paused bool)
	onEnd    func() // somebody wants it to end for good

	resting bool // it has ended, and is about to be started again
	again   bool // so is it once it has ended

	settling atomic.Pointer[time.Timer] // gives memory back when nothing was asked for a while

	ended   chan struct{} // closed with the container's end
	status  int           // then
	serving sync.WaitGroup
}

// serveControl begins to serve. Nothing is answered but that it doesn't run yet until
// started is called. Without a socket, which not every filesystem has, the container
// runs all the same.
func (ct *controller) serveControl() {
	var err error
	if ct.l, err = ct.c.listenControl(); err != nil {
		ct.log.Warn("other commands can't reach the container", "error", err)
		return
	}
	go ct.accept()
}

func (c *Container) newController(log *slog.Logger, s *streams, rootfs string) *controller {
	return &controller{c: c, log: log, signals: make(chan os.Signal, 64), streams: s, rootfs: rootfs, ended: make(chan struct{})}
}

func (c *Container) listenControl() (*net.UnixListener, error) {
	addr, done, err := socketAddress(c.dir, containerControl)
	if err != nil {
		return nil, err
	}
	defer done()
	// What a killed monitor left: this process alone is the container's monitor.
	if err := os.Remove(filepath.Join(c.dir, containerControl)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the name is valid no more
	return l, nil
}

// started says that the container's process runs.
func (ct *controller) started(pid int, spec *specs.Spec) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	ct.pid, ct.spec = pid, spec
	ct.releaseInit()
	ct.settle()
}

// close tells all who wait how the container ended, and whether it will be started again,
// and serves no more.
func (ct *controller) close(status int, again bool) {
	ct.status, ct.again = status, again
	close(ct.ended)
	if ct.l != nil {
		ct.l.Close()
		_ = os.Remove(filepath.Join(ct.c.dir, containerControl))
	}
	ct.serving.Wait()
}

func (ct *controller) accept() {
	for {
		conn, err := ct.l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			ct.log.Warn("control socket", "error", err)
			return
		}
		ct.serving.Add(1)
		go func() {
			defer ct.serving.Done()
			defer conn.Close()
			ct.serve(&controlConn{UnixConn: conn})
		}()
	}
}

// serve answers one request.
func (ct *controller) serve(conn *controlConn) {
	// Only the first message ends with the container: what it asks for may wait for that.
	stop := make(chan struct{})
	defer close(stop)
	got := make(chan struct{})
	go func() {
		select {
		case <-ct.ended:
			select {
			case <-got:
			default:
				conn.CloseRead() // somebody who says nothing must not hold us
			}
		case <-got:
		case <-stop:
		}
	}()
	var req controlRequest
	files, err := conn.receive(&req)
	close(got)
	if err != nil {
		return
	}
	r, err := ct.do(conn, req, files)
	if err != nil {
		r = controlReply{Error: err.Error(), Hint: hint.Of(err), Status: runtime.ExitStatus(err)}
	}
	_ = conn.send(r) // who asked may be gone
}

// running is the container's process, or why there is none.
func (ct *controller) running() (int, *specs.Spec, error) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	select {
	case <-ct.ended:
		return 0, nil, &notRunning{ct.c}
	default:
	}
	if ct.resting {
		return 0, nil, sentencef(nil, "Container %s is restarting, wait until the container is running", ct.c.ID)
	}
	if ct.pid == 0 {
		return 0, nil, &notRunning{ct.c}
	}
	return ct.pid, ct.spec, nil
}

func (ct *controller) do(conn *controlConn, req controlRequest, files []*os.File) (controlReply, error) {
	defer closeFiles(files)
	switch req.Op {
	case opSignal:
		if _, _, err := ct.running(); err != nil {
			return controlReply{}, err
		}
		return controlReply{}, ct.signal(unix.Signal(req.Signal))
	case opWait:
		<-ct.ended
		return controlReply{Status: ct.status, Again: ct.again || ct.resting, Resting: ct.resting}, nil
	case opEnd:
		ct.onEnd()
		return controlReply{Resting: ct.resting}, nil
	case opUpdate:
		if req.Limits != nil {
			return controlReply{}, ct.update(*req.Limits)
		}
	case opStats:
		u, err := ct.usage()
		return controlReply{Usage: u}, err
	case opPause, opUnpause:
		return controlReply{}, ct.pause(req.Op == opPause)
	case opTop:
		return ct.top()
	case opFlush: // only who shares the monitor's namespaces may open the root that it has mounted
		return controlReply{}, syncfs(ct.rootfs)
	case opCopy:
		root, err := ct.root()
		if err != nil {
			return controlReply{}, err
		}
		defer root.Close()
		return answerCopy(root, req, files), nil
	case opAttach:
		if req.Attach != nil {
			return ct.attach(conn, req, files)
		}
	case opExec:
		if req.Exec != nil && len(files) == 3 {
			return ct.exec(conn, req, files)
		}
	}
	return controlReply{}, fmt.Errorf("the monitor of this container doesn't know how to %q", req.Op)
}

// signal sends the container's process a signal. A paused one is let go on by SIGKILL.
func (ct *controller) signal(n unix.Signal) error {
	select {
	case ct.signals <- n:
		return nil
	default:
		return errors.New("too many signals are under way")
	}
}

func (ct *controller) pause(stop bool) error {
	pid, _, err := ct.running()
	if err != nil {
		return err
	}
	ct.mu.Lock()
	defer ct.mu.Unlock()
	switch {
	case stop && ct.paused != nil:
		return sentencef(nil, "Container %s is already paused", ct.c.ID)
	case !stop && ct.paused == nil:
		return sentencef(nil, "Container %s is not paused", ct.c.ID)
	case stop:
		if ct.paused, err = runtime.Pause(context.Background(), pid); err != nil {
			return err
		}
	default:
		ct.paused.Resume()
		ct.paused = nil
	}
	if ct.onState != nil {
		ct.onState(stop)
	}
	return nil
}

func (ct *controller) top() (controlReply, error) {
	pid, _, err := ct.running()
	if err != nil {
		return controlReply{}, err
	}
	pids, err := runtime.Processes(pid)
	return controlReply{Pids: pids}, err
}

// attachRequest says which of the descriptors that came along is which file; -1: none.
type attachRequest struct {
	In, Out, Err int
	CloseInput   bool // the container's input ends with the client's
}

func (ct *controller) attach(conn *controlConn, req controlRequest, files []*os.File) (controlReply, error) {
	if ct.streams == nil {
		return controlReply{}, hint.With(errors.New("the container's output goes straight to the terminal it was started on"), "run it with -d, or without --rm")
	}
	file := func(n int) *os.File {
		if n < 0 || n >= len(files) {
			return nil
		}
		return files[n]
	}
	client := &streamClient{in: file(req.Attach.In), out: file(req.Attach.Out), err: file(req.Attach.Err), closesInput: req.Attach.CloseInput}
	if err := ct.streams.attach(client); err != nil {
		return controlReply{}, err
	}
	defer ct.streams.leave(client)
	ct.streams.resize(req.Rows, req.Cols)
	if err := conn.send(controlReply{Running: true}); err != nil {
		return controlReply{}, err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ct.events(conn, func(n unix.Signal) { _ = ct.signal(n) }, ct.streams.resize)
	}()
	select {
	case <-gone:
		return controlReply{}, nil
	case <-ct.ended:
		return controlReply{Status: ct.status, Ended: !ct.again}, nil
	}
}

// events passes on what somebody who is connected goes on to send, until he is gone.
func (ct *controller) events(conn *controlConn, signal func(unix.Signal), resize func(rows, cols uint16)) {
	for {
		var e controlEvent
		files, err := conn.receive(&e)
		closeFiles(files)
		if err != nil {
			return
		}
		if e.Signal != 0 {
			signal(unix.Signal(e.Signal))
		}
		resize(e.Rows, e.Cols)
	}
}
