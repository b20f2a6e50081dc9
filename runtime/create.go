package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/stage"
)

// A Creation is what [Create] needs besides a bundle.
type Creation struct {
	// Options are those of a run. Signals, Started, Prestarted and Init are not used; Stdio
	// is passed on as it is, and a terminal's master given to Console, which is called before
	// Created.
	Options
	// Listener is a listening socket of Unix, which Create closes: whoever connects to it
	// and calls [Start] has the command executed.
	Listener *os.File
	// Waiting is a file locked by flock(2), which Create closes: the first process holds the
	// lock until it executes the command, so that this can be told without asking it.
	Waiting *os.File
	// Created notes down that there is a container, with the process id of its first process.
	// If it fails, or its process dies in it, there is none.
	Created func(pid int) error
	idle    bool // the configuration has no process
}

// Create makes a container of a bundle as far as its first process waits to execute the
// command, and leaves it to itself (runtime.md, "Create"). If it fails nothing is left.
func Create(ctx context.Context, b Bundle, c Creation) (*Init, error) {
	defer c.Listener.Close()
	defer c.Waiting.Close()
	if b.Spec != nil && b.Spec.Process == nil {
		// It can be created, and not started (config.md, "Process").
		spec := *b.Spec
		spec.Process = &specs.Process{Cwd: "/"}
		b.Spec, c.idle = &spec, true
	}
	if err := validateFor(b.Spec, c.idle); err != nil {
		return nil, err
	}
	if b.Spec.Process.Terminal && c.Console == nil {
		return nil, invalid("a terminal needs somebody who takes its other side")
	}
	n, err := planNamespaces(b.Spec.Linux)
	if err != nil {
		return nil, err
	}
	c.Detach, c.Init, c.inTurn = true, false, true
	s, err := prepare(b, n, c.Options)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.planWait(b, c); err != nil {
		return nil, err
	}
	before := mountID(b.Root)
	i, err := (&Init{namespaces: n, outlives: true}).launch(b.Spec, c.Stdio)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, i.signalKill)
	defer stop()
	if err := i.create(s, b, c); err != nil {
		i.Kill()
		if n.sharesMounts() && mountID(b.Root) != before {
			_ = UnmountRoot(b.Root)
		}
		return nil, i.failed(ctx, err)
	}
	i.closed.Do(func() { unix.Close(i.sock.fd) })
	return i, nil
}

func (s *setup) planWait(b Bundle, c Creation) error {
	w := &waitConfig{State: c.state(b, specs.StateCreating, 0)}
	for _, f := range []*os.File{c.Waiting, c.Listener} {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		w.Listener = s.sendFD(fd) // the last one
	}
	if h := b.Spec.Hooks; h != nil {
		w.HostHooks = len(prestart(h)) > 0 || len(h.CreateRuntime) > 0
		w.CreateContainer, w.StartContainer = h.CreateContainer, h.StartContainer
	}
	s.config.Wait = w
	return nil
}

// hostHooks runs the hooks of the host's namespaces before the root is changed. To those of
// the old kind the container counts as created, as they were called by start once.
func (c Creation) hostHooks(b Bundle, pid int) error {
	h := b.Spec.Hooks
	if err := RunHooks(prestart(h), "prestart", c.state(b, specs.StateCreated, pid)); err != nil {
		return err
	}
	return RunHooks(h.CreateRuntime, "createRuntime", c.state(b, specs.StateCreating, pid))
}

// prestart are the hooks of the old kind.
func prestart(h *specs.Hooks) []specs.Hook {
	//lint:ignore SA1019 deprecated by the specification, and still to be run
	return h.Prestart
}

func (c Creation) state(b Bundle, status specs.ContainerState, pid int) specs.State {
	return specs.State{Version: specs.Version, ID: c.ID, Status: status, Pid: pid, Bundle: b.Dir, Annotations: b.Spec.Annotations}
}

// create sends init its configuration, and does what init asks for until it waits.
func (i *Init) create(s *setup, b Bundle, c Creation) error {
	if c.Placed != nil {
		if err := c.Placed(i.Pid()); err != nil {
			return err
		}
	}
	if err := s.planCgroups(i.Pid()); err != nil {
		return err
	}
	if err := s.send(i.sock); err != nil {
		return fmt.Errorf("send configuration: %w", err)
	}
	// Only init's copy may hold the lock, and take a connection.
	c.Listener.Close()
	c.Waiting.Close()
	for {
		kind, body, fds, err := i.sock.receive()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("init ended before the container was created: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		if kind == msgConsole && len(fds) == 1 {
			c.Console(os.NewFile(uintptr(fds[0]), "console"))
			continue
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
		switch kind {
		case msgWarning:
			c.warn(string(body))
		case msgTree:
			if err := s.sendTree(i.sock, body); err != nil {
				return err
			}
		case msgHooks:
			if err := c.hostHooks(b, i.Pid()); err != nil {
				return err
			}
			if err := i.acknowledge(); err != nil {
				return err
			}
		case msgReady:
			if err := c.Created(i.Pid()); err != nil {
				return err
			}
			return i.acknowledge()
		case msgError:
			var e initError
			if err := json.Unmarshal(body, &e); err != nil {
				return fmt.Errorf("read init's error: %w", err)
			}
			return e
		default:
			return fmt.Errorf("unexpected message %q from init", kind)
		}
	}
}

func (i *Init) acknowledge() error {
	_, err := unix.Write(i.sock.fd, []byte{0})
	return err
}

// Start has the first process of a created container execute the command: conn is a
// connection to the listener of its [Creation], pid its process id. It returns once the
// command was executed, or with the reason why it could not be.
func Start(b Bundle, conn *os.File, pid int, o Options) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	defer process.Release()
	i := &Init{process: process, sock: socket{int(conn.Fd())}}
	_, err = i.awaitExec(o.warn, func(fd int) error { return i.handListener(fd, b, o.ID) })
	return err
}

// Supervise waits for the end of a created container's first process, of which the caller is
// the parent, and returns its exit status, 128+n if signal n ended it. Signals are passed on
// to it. master, if not nil, is its terminal, which is copied from and to io meanwhile.
func (i *Init) Supervise(io stage.Stdio, master *os.File, signals <-chan os.Signal) (int, error) {
	t := newTerminal(io)
	if master != nil {
		fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		master.Close()
		if err != nil {
			return StatusFailed, err
		}
		if err := t.attach(fd); err != nil {
			return StatusFailed, err
		}
		defer t.detach()
		t.resize()
	}
	f := forwarder{init: i, terminal: t, emulates: i.namespaces.ownsPids()}
	go f.forward(signals)
	return f.status(i.wait()), nil
}

// SharesMounts tells whether a container of the configuration has no mount namespace of its
// own: its root is then mounted in the caller's, over what was there, until [UnmountRoot].
func SharesMounts(spec *specs.Spec) bool {
	n, err := planNamespaces(spec.Linux)
	return err == nil && n.sharesMounts()
}

// UnmountRoot takes away what a container that shares the caller's mounts has mounted: its
// root and all below it. Called twice it would take away what was there before.
func UnmountRoot(path string) error {
	// What is mounted below goes along, which a plain umount(2) would refuse.
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount root %s: %w", path, err)
	}
	return nil
}

// mountID is the mount that a path leads to; 0 if that is not known.
func mountID(path string) uint64 {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st) != nil {
		return 0
	}
	return st.Mnt_id
}
