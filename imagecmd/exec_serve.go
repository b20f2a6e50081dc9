package imagecmd

import (
	"context"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/apart"
	"github.com/cfs-project/cfs/internal/resident"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
)

// execRequest is one more process for a running container.
type execRequest struct {
	Args       []string
	Env        []string // added to the container's
	User       string   // as -u takes it; empty: the container's
	Cwd        string   // empty: the container's
	TTY        bool
	Privileged bool
	Detach     bool // nobody waits for its end
}

// exec runs one more process with the files of who asked. A terminal's master goes
// to him; a process whose asker is gone goes on.
func (ct *controller) exec(conn *controlConn, req controlRequest, files []*os.File) (controlReply, error) {
	pid, spec, err := ct.running()
	if err != nil {
		return controlReply{}, err
	}
	process, err := ct.execProcess(spec, req)
	if err != nil {
		return controlReply{}, err
	}
	own := *spec
	own.Process = process
	signals := make(chan os.Signal, 64)
	begun := ct.makeRoom()
	defer begun()
	o := runtime.Options{
		Placed:  ct.place,
		Stdio:   stage.Stdio{In: files[0], Out: files[1], Err: files[2]},
		Signals: signals,
		ID:      ct.c.ID,
		Started: func(int) {
			begun()
			if !req.Exec.TTY {
				_ = conn.send(controlReply{Running: true})
			}
		},
	}
	resize := func(rows, cols uint16) {}
	if req.Exec.TTY {
		o.Console = func(master *os.File) {
			// He has it from now on, and sizes it himself.
			_ = conn.send(controlReply{Running: true}, master)
			master.Close()
		}
	}
	go ct.events(conn, func(n unix.Signal) {
		select {
		case signals <- n:
		default:
		}
	}, resize)
	status, err := runtime.Exec(context.Background(), pid, &own, o)
	if t := ct.settling.Load(); t != nil {
		t.Reset(resident.SettleAfter)
	}
	return controlReply{Status: status}, err
}

// execProcess is the process that is asked for, in terms of the container's own.
func (ct *controller) execProcess(spec *specs.Spec, req controlRequest) (*specs.Process, error) {
	e := req.Exec
	p := *spec.Process
	p.Args, p.Terminal, p.ConsoleSize = e.Args, e.TTY, nil
	if e.TTY && req.Rows > 0 {
		p.ConsoleSize = &specs.Box{Height: uint(req.Rows), Width: uint(req.Cols)}
	}
	if e.Cwd != "" {
		p.Cwd = e.Cwd
	}
	p.Env = slices.Clone(p.Env)
	if e.User != "" {
		var user runtime.User
		if err := apart.Do(func() (err error) {
			user, err = runtime.LookupUser(ct.rootfs, e.User)
			return err
		}); err != nil {
			return nil, err
		}
		runtime.SetUser(&p, user)
	}
	if e.TTY {
		p.Env = runtime.SetEnv(p.Env, "TERM=xterm")
	}
	for _, kv := range e.Env {
		if strings.Contains(kv, "=") {
			p.Env = runtime.SetEnv(p.Env, kv)
		}
	}
	if e.Privileged {
		runtime.AllCapabilities(&p)
	}
	return &p, nil
}
