package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotInit is returned for a process id that is not that of a container's PID 1.
var ErrNotInit = errors.New("it is not the first process of a container")

// pauseLimit is how long processes may take to stop: one that waits for a disk
// stops when it has what it waits for.
const pauseLimit = 10 * time.Second

// Paused are the stopped processes of a container.
type Paused struct {
	stopped []stopped // parents before their children
}

type stopped struct {
	pid     int
	process *os.Process // by descriptor: no other process can be meant
}

// Pause stops every process of the container whose PID 1 has this process id
// here, with SIGSTOP: a container made by [Run] has no cgroup of its own that
// could be frozen. Processes that were stopped already stay so after
// [Paused.Resume]. When Pause fails nothing is left stopped.
//
// A parent is stopped before its children and goes on after them, so that no
// shell takes them for jobs that a person has stopped.
func Pause(ctx context.Context, pid int) (*Paused, error) {
	p := &Paused{}
	if err := p.stop(ctx, pid); err != nil {
		p.Resume()
		return nil, fmt.Errorf("pause container: %w", err)
	}
	return p, nil
}

// Resume lets the processes go on.
func (p *Paused) Resume() {
	for _, s := range slices.Backward(p.stopped) {
		_ = s.process.Signal(unix.SIGCONT) // one that was killed meanwhile is gone
		_ = s.process.Release()
	}
	p.stopped = nil
}

func (p *Paused) stop(ctx context.Context, pid int) error {
	end := time.Now().Add(pauseLimit)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		family, err := containerOf(pid)
		if err != nil {
			return err
		}
		running := 0
		for _, one := range family {
			if one.asleep() {
				continue
			}
			running = one.pid
			if slices.ContainsFunc(p.stopped, func(s stopped) bool { return s.pid == one.pid }) {
				continue // it has been told, and will stop
			}
			if err := p.stopOne(one.pid); err != nil {
				return err
			}
		}
		if running == 0 {
			return nil // and nobody is left who could start another
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d does not stop", running)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func (p *Paused) stopOne(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := process.Signal(unix.SIGSTOP); err != nil {
		_ = process.Release()
		if errors.Is(err, os.ErrProcessDone) {
			return nil
		}
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	p.stopped = append(p.stopped, stopped{pid, process})
	return nil
}

// procStatus is what /proc/PID/status says of a process or thread.
type procStatus struct {
	pid, parent int
	state       byte   // 'R', 'S', 'D', 'T' stopped, 't' traced, 'Z', 'X' dead, …
	inner       string // process id in the innermost namespace
	nested      bool   // in a pid namespace below the reader's
}

// asleep tells that no thread of the process runs any code before it is sent a
// signal.
func (s procStatus) asleep() bool {
	dir := procDir(s.pid) + "task/"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return true // it has ended
	}
	for _, t := range threads {
		one, err := readProcStatus(dir + t.Name() + "/")
		if err == nil && strings.IndexByte("TtZX", one.state) < 0 {
			return false
		}
	}
	return true
}

// containerOf is PID 1 of a container with all that descends from it, parents
// first, as in a pid namespace every orphan falls to its PID 1; then those that
// have joined the namespace from outside.
func containerOf(pid int) ([]procStatus, error) {
	init, err := readProcStatus(procDir(pid))
	if err != nil || !init.nested || init.inner != "1" {
		return nil, errors.Join(fmt.Errorf("process %d: %w", pid, ErrNotInit), err)
	}
	namespace, err := os.Readlink(procDir(pid) + "ns/pid")
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var joined []procStatus
	children := map[int][]procStatus{}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || n == pid {
			continue
		}
		s, err := readProcStatus(procDir(n))
		if err != nil {
			continue // it has ended
		}
		children[s.parent] = append(children[s.parent], s)
		if s.nested {
			if ns, err := os.Readlink(procDir(n) + "ns/pid"); err == nil && ns == namespace {
				joined = append(joined, s)
			}
		}
	}
	var family []procStatus
	known := map[int]bool{}
	for _, head := range append([]procStatus{init}, joined...) {
		for todo := []procStatus{head}; len(todo) > 0; todo = todo[1:] {
			if one := todo[0]; !known[one.pid] {
				known[one.pid] = true
				family = append(family, one)
				todo = append(todo, children[one.pid]...)
			}
		}
	}
	return family, nil
}

func procDir(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/" }

// readProcStatus reads proc_pid_status(5) in the directory of a process or thread.
func readProcStatus(dir string) (procStatus, error) {
	var s procStatus
	b, err := os.ReadFile(dir + "status")
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "State":
			if value != "" {
				s.state = value[0]
			}
		case "Pid":
			s.pid, err = strconv.Atoi(value)
		case "PPid":
			s.parent, err = strconv.Atoi(value)
		case "NSpid":
			if ids := strings.Fields(value); len(ids) > 1 {
				s.nested, s.inner = true, ids[len(ids)-1]
			}
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}
