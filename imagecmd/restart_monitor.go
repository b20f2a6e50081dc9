package imagecmd

import (
	"errors"
	"fmt"
	"time"

	"github.com/cfs-project/cfs/cow"
)

// lives runs the container once, and then again as its restart policy says. The person who
// waits for it is told of the first end, as with Docker.
func (m *monitor) lives(d cow.Driver, before State) (status int, err error) {
	var wait time.Duration
	for {
		status, err = m.inRoot(d, before)
		if err != nil || !m.again(status) {
			return status, err
		}
		m.state.Finished, m.state.Status, m.state.Pid, m.state.Paused = time.Now().UTC(), status, 0, false
		m.state.Restarting = true
		m.saveState()
		wait = m.c.Options.Restart.wait(m.state.Finished.Sub(m.state.Started), wait)
		m.part(status)
		if !m.rest(wait, status) {
			return status, nil
		}
		before = m.state
		m.state = State{Driver: before.Driver, Started: time.Now().UTC(), Restarts: before.Restarts + 1}
	}
}

// again tells whether the container, which has ended, is to be started again. What is
// written down counts, as it may have been changed.
func (m *monitor) again(status int) bool {
	if m.stopped.Load() || m.l.Context().Err() != nil || m.c.Options.Restart.none() && m.c.AutoRemove {
		return false
	}
	var now Container
	if err := readJSON(m.c.path(containerConfig), &now); err == nil {
		m.c.Name, m.c.Options.Restart, m.c.Options.Limits = now.Name, now.Options.Restart, now.Options.Limits
	}
	return m.c.Options.Restart.again(status, m.state.Restarts)
}

// part lets the process go that waits for the container, with its status.
func (m *monitor) part(status int) {
	if !m.req.Detach {
		m.l.Part(status)
		m.quiet()
	}
	m.req.Detach, m.req.Attach, m.req.Interactive = true, false, false
}

// rest waits before the next start. It is false if somebody wants the container to end.
func (m *monitor) rest(wait time.Duration, status int) bool {
	enough := make(chan struct{}, 1)
	ct := m.c.newController(m.log, nil, "")
	ct.resting = true
	ct.onEnd = func() {
		m.stopped.Store(true)
		select {
		case enough <- struct{}{}:
		default:
		}
	}
	ct.serveControl()
	defer func() { ct.close(status, !m.stopped.Load()) }()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-enough:
	case <-m.l.Signals(): // sent to the monitor itself
		m.stopped.Store(true)
	}
	return !m.stopped.Load()
}

// endForGood has a container with a restart policy not be started again. It is true if
// that is its end: it had no process.
func (c *Container) endForGood() (bool, error) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		r, err := c.ask(controlRequest{Op: opEnd})
		switch {
		case err == nil:
			return r.Resting, nil
		case !errors.Is(err, ErrNotRunning) || !c.Running():
			return false, err
		case time.Now().After(end):
			return false, fmt.Errorf("container %s: its monitor does not answer", c.Label())
		}
		// It is between two runs, and its root is being mounted.
	}
}
