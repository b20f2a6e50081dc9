package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// Create makes a container without starting it, and prints its ID.
func Create(ctx context.Context, st *store.Store, o RunOptions, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	o.kept = true
	c, _, release, err := newContainer(ctx, st, o)
	if err != nil {
		return err
	}
	defer release()
	defer c.close()
	_, err = fmt.Fprintln(out, c.ID)
	return err
}

// StartOptions says how a container is started.
type StartOptions struct {
	Attach      bool // until it ends, with its exit status
	Interactive bool // with standard input
	Debug       bool
}

// Start starts a container that was created or has ended. Attached, its exit status is
// returned; otherwise name is printed once it runs.
func Start(ctx context.Context, st *store.Store, name string, o StartOptions, out io.Writer) (int, error) {
	c, err := OpenContainers(st.Root()).Find(name)
	if err != nil {
		return 1, err
	}
	if c.Process.Args == nil {
		return 1, fmt.Errorf("%s is a mount and runs nothing", name)
	}
	switch err := c.holdEnded(ctx); {
	case errors.Is(err, ErrRunning):
		if o.Attach {
			return Attach(ctx, st.Root(), name, AttachOptions{NoStdin: !o.Interactive, SigProxy: true})
		}
		_, err = fmt.Fprintln(out, name)
		return 0, err
	case err != nil:
		return 1, err
	}
	defer c.close()
	// The monitor takes it too. Somebody who starts it at the same time may be faster
	// for a moment, and then one of the two is told that it runs.
	if c.lock, err = flock(c.lock, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return 1, fmt.Errorf("container %s: %w", c.Label(), err)
	}
	chain, release, err := st.ChainOf(ctx, c.Layers)
	if err != nil {
		return 1, err
	}
	defer release()
	status, err := c.run(monitorRequest{
		Root: st.Root(), ID: c.ID, Chain: chain, Detach: !o.Attach, Attach: o.Attach,
		Interactive: o.Attach && o.Interactive && c.Options.Interactive, Debug: o.Debug,
	}, io.Discard)
	if err == nil && status == 0 && !o.Attach {
		_, err = fmt.Fprintln(out, name)
	}
	return status, err
}

// holdEnded is hold, or ErrRunning once it runs: whoever copies files of a container that
// doesn't, or moves it to another driver, has it for a while.
func (c *Container) holdEnded(ctx context.Context) error {
	for deadline := time.Now().Add(holdPatience); ; time.Sleep(20 * time.Millisecond) {
		err := c.hold()
		if !errors.Is(err, ErrRunning) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		if conn, err := c.dial(); err == nil {
			conn.Close()
			return ErrRunning
		}
	}
}

// holdPatience is how long others may have a container that doesn't run.
const holdPatience = time.Minute

// DefaultStopTimeout is how long Stop waits for a container's end, in seconds, as Docker.
const DefaultStopTimeout = 10

// StopOptions says how a container is stopped.
type StopOptions struct {
	Signal  string // empty: the container's own
	Timeout *int   // seconds until it is killed, < 0: never; nil: the container's own
}

// Stop ends a container's process: by its stop signal, and if it doesn't heed that by
// SIGKILL. One that doesn't run is stopped already.
func Stop(ctx context.Context, root, name string, o StopOptions) error {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return err
	}
	signal, timeout := o.Signal, o.Timeout
	if signal == "" {
		signal = c.Options.StopSignal
	}
	n := unix.SIGTERM
	if signal != "" {
		if n, err = parseSignal(signal); err != nil {
			return err
		}
	}
	if timeout == nil {
		timeout = c.Options.StopTimeout
	}
	limit := DefaultStopTimeout * time.Second
	if timeout != nil {
		limit = time.Duration(*timeout) * time.Second
	}
	err = c.stop(ctx, n, limit)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	return err
}

func (c *Container) stop(ctx context.Context, n unix.Signal, limit time.Duration) error {
	if !c.Options.Restart.none() {
		if ended, err := c.endForGood(); err != nil || ended {
			return errors.Join(err, c.waitEnd(ctx, 30*time.Second))
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- c.awaitEnd(ctx) }()
	if _, err := c.ask(controlRequest{Op: opSignal, Signal: int(n)}); err != nil {
		return err
	}
	var late <-chan time.Time
	if limit >= 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case err := <-ended:
		return err
	case <-late:
	case <-ctx.Done():
		return ctx.Err()
	}
	// Its end may have come between.
	if _, err := c.ask(controlRequest{Op: opSignal, Signal: int(unix.SIGKILL)}); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	return <-ended
}

// awaitEnd waits until the container has ended, its monitor too, which leaves nothing
// mounted then.
func (c *Container) awaitEnd(ctx context.Context) error {
	if _, err := c.ask(controlRequest{Op: opWait}); err != nil && !errors.Is(err, ErrNotRunning) && c.Running() {
		return err
	}
	return c.waitEnd(ctx, 30*time.Second)
}

// Kill sends a signal, SIGKILL if it is empty, to a container's process.
func Kill(root, name, signal string) error {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return cannotKill(name, err)
	}
	n := unix.SIGKILL
	if signal != "" {
		if n, err = parseSignal(signal); err != nil {
			return err
		}
	}
	if !c.Options.Restart.none() && c.endsBy(n) {
		if ended, err := c.endForGood(); err != nil {
			return cannotKill(name, err)
		} else if ended {
			return c.waitEnd(context.Background(), 30*time.Second)
		}
	}
	if _, err := c.ask(controlRequest{Op: opSignal, Signal: int(n)}); err != nil {
		return cannotKill(name, err)
	}
	if n == unix.SIGKILL {
		return c.awaitEnd(context.Background())
	}
	return nil
}

// endsBy tells whether a signal is one by which a person ends the container.
func (c *Container) endsBy(n unix.Signal) bool {
	stop := unix.SIGTERM
	if s, err := parseSignal(c.Options.StopSignal); err == nil {
		stop = s
	}
	return n == unix.SIGKILL || n == stop
}

func cannotKill(name string, err error) error {
	return sentencef(err, "Cannot kill container: %s: %v", name, err)
}

// Restart stops a container, if it runs, and starts it again.
func Restart(ctx context.Context, st *store.Store, name string, o StopOptions, out io.Writer) error {
	if err := Stop(ctx, st.Root(), name, o); err != nil {
		return err
	}
	status, err := Start(ctx, st, name, StartOptions{}, out)
	if err == nil && status != 0 {
		err = fmt.Errorf("container %s did not start", name)
	}
	return err
}

// Wait waits until a container has ended, and returns its exit status.
func Wait(ctx context.Context, root, name string) (int, error) {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return 0, err
	}
	r, err := c.ask(controlRequest{Op: opWait})
	for r.Resting || errors.Is(err, ErrNotRunning) && !c.Options.Restart.none() && c.Running() {
		time.Sleep(2 * time.Millisecond) // until it runs again, or doesn't
		r, err = c.ask(controlRequest{Op: opWait})
	}
	if err == nil && r.Again {
		return r.Status, nil
	}
	if err == nil {
		return r.Status, c.waitEnd(ctx, 30*time.Second)
	}
	if !errors.Is(err, ErrNotRunning) {
		return 0, err
	}
	// Its monitor may be about to write how it ended.
	if err := c.waitEnd(ctx, 30*time.Second); err != nil {
		return 0, err
	}
	s, err := c.State()
	if err == nil && s.Finished.IsZero() && !s.Started.IsZero() {
		return statusKilled, nil
	}
	return s.Status, err
}

// statusKilled is the exit status of a container whose monitor was killed, and which
// the kernel then killed.
const statusKilled = 128 + int(unix.SIGKILL)

// Pause stops all processes of a container, or lets them go on.
func Pause(root, name string, stop bool) error {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return err
	}
	op := opPause
	if !stop {
		op = opUnpause
	}
	_, err = c.ask(controlRequest{Op: op})
	return err
}

// Rename gives a container another name.
func Rename(root, name, to string) error {
	cs := OpenContainers(root)
	names, err := cs.lockNames()
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %s", ErrNoContainer, name)
		}
		return err
	}
	defer names.Close()
	c, err := cs.Find(name)
	if err != nil {
		return err
	}
	if to == c.Name {
		return sentencef(nil, "Renaming a container with the same name as its current name")
	}
	if err := cs.freeName(to); err != nil {
		return err
	}
	c.Name = to
	return c.rewrite()
}
