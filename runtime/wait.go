package runtime

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A waitConfig is what init needs that is set up by one process ([Create]) and told
// to execute the command by another ([Start]).
//
//	create ── config ──► init: mounts … ── hooks? ──► create: prestart, createRuntime
//	                     createContainer, pivot … ── ready ──► create: state on disk, ends
//	start ── connects ──► listener: startContainer, execve
//
// A socket and not a FIFO, so that start learns what became of the execution.
type waitConfig struct {
	Listener                        int  // index among the descriptors
	HostHooks                       bool // the creator has hooks to run
	CreateContainer, StartContainer []specs.Hook
	State                           specs.State
}

// awaitUnprepared is await for an init that isn't its user yet. What can be known of
// the command before is found out first, as creating the container is to fail for it.
func (i *initProc) awaitUnprepared() error {
	if i.config.Wait == nil {
		return nil
	}
	_, err := i.lookPath()
	if errors.Is(err, ErrNotFound) {
		return err
	}
	return i.await()
}

// await tells the creator that all is ready, and waits for a connection that says
// start, which takes the place of the creator's. If the creator dies before it has
// noted down that the container exists, init ends.
func (i *initProc) await() error {
	w := i.config.Wait
	if w == nil || i.waited {
		return nil
	}
	i.waited = true
	if err := i.sock.send(msgReady, nil, nil); err != nil {
		return fmt.Errorf("report to creator: %w", err)
	}
	if err := i.acknowledged(); err != nil {
		return err
	}
	unix.Close(i.sock.fd)
	i.sock.fd = -1
	conn, err := accept(i.fds[w.Listener])
	if err != nil {
		return fmt.Errorf("wait to be started: %w", err)
	}
	i.sock.fd = conn
	unix.Close(i.fds[w.Listener])
	state := w.State
	state.Status = specs.StateCreated
	state.Pid = unix.Getpid()
	if err := RunHooks(w.StartContainer, "startContainer", state); err != nil {
		return err
	}
	return nil
}

func accept(listener int) (int, error) {
	for {
		conn, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err != unix.EINTR && err != unix.ECONNABORTED {
			return conn, err
		}
	}
}

// acknowledged waits for the other side's one byte.
func (i *initProc) acknowledged() error {
	var b [1]byte
	for {
		n, err := unix.Read(i.sock.fd, b[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait for creator: %w", err)
		case n == 0:
			return errors.New("the process that creates the container is gone")
		}
		return nil
	}
}

// hooksBeforePivot has the creator run the hooks of the host's namespaces, and runs
// those of the container's, whose programs are the host's (config.md, "POSIX-platform Hooks").
func (i *initProc) hooksBeforePivot() error {
	w := i.config.Wait
	if w == nil {
		return nil
	}
	if w.HostHooks {
		if err := i.sock.send(msgHooks, nil, nil); err != nil {
			return fmt.Errorf("ask for hooks: %w", err)
		}
		if err := i.acknowledged(); err != nil {
			return err
		}
	}
	state := w.State
	state.Status = specs.StateCreating
	state.Pid = unix.Getpid()
	return RunHooks(w.CreateContainer, "createContainer", state)
}
