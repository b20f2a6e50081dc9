package runtime_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// The test binary is a small program around the runtime: started as "test-command" it is
// what a person would start, P, with a stage "test-monitor", S.
const (
	command    = "test-command"
	monitor    = "test-monitor"
	remove     = "test-remove"
	detached   = "test-detached"
	commandVar = "CFS_TEST_COMMAND"
)

// A job is what P passes to S.
type job struct {
	Root  string
	Spec  *specs.Spec
	Init  bool
	Early bool // use Prestart
	// Exec is a process more to run in the container, whose own is then killed. What it
	// ends with is told on standard error.
	Exec *specs.Process
}

func TestMain(m *testing.M) {
	testenv.Main()
	runtime.Main(stage.Table{monitor: monitorMain, remove: removeMain, detached: detachedMain})
	if os.Args[0] == command {
		os.Exit(commandMain())
	}
	os.Exit(m.Run())
}

func commandMain() int {
	m, _ := userns.Detect()
	p, err := stage.Start(m, monitor, []byte(os.Getenv(commandVar)), stage.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return runtime.StatusFailed
	}
	status, err := p.Attend()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return status
}

func monitorMain(l *stage.Link, payload []byte) int {
	var j job
	if err := json.Unmarshal(payload, &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return runtime.StatusFailed
	}
	o := runtime.Options{
		Stdio:   stage.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr},
		Init:    j.Init,
		Signals: l.Signals(),
		MakeCwd: true,
	}
	if j.Early {
		i, err := runtime.Prestart(j.Spec, o.Stdio)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return runtime.StatusFailed
		}
		o.Prestarted = i
	}
	if j.Exec != nil {
		o.Started = func(pid int) { go execMore(l, j, pid, o.Stdio) }
	}
	status, err := runtime.Run(l.Context(), runtime.Bundle{Root: j.Root, Spec: j.Spec}, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return status
}

func execMore(l *stage.Link, j job, pid int, io stage.Stdio) {
	spec := *j.Spec
	spec.Process = j.Exec
	o := runtime.Options{Stdio: io}
	if j.Exec.ExecCPUAffinity != nil {
		o.Placed = func(pid int) error {
			cpus, err := cpusOf(pid)
			fmt.Fprintf(os.Stderr, "begins on %s\n", cpus)
			return err
		}
	}
	status, err := runtime.Exec(l.Context(), pid, &spec, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	fmt.Fprintf(os.Stderr, "ended with %d\n", status)
	unix.Kill(pid, unix.SIGKILL)
}

// cpusOf are the processors that a process may use, as a list; 0 is the caller.
func cpusOf(pid int) (string, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &set); err != nil {
		return "", err
	}
	var all []string
	for n := range 8 * int(unsafe.Sizeof(set)) {
		if set.IsSet(n) {
			all = append(all, strconv.Itoa(n))
		}
	}
	return strings.Join(all, ","), nil
}

// detachedMain says that it can do without P, and some time later whether it was let.
func detachedMain(l *stage.Link, payload []byte) int {
	if len(payload) == 0 {
		return 9
	}
	l.Ready()
	select {
	case <-l.Context().Done():
		return 1
	case <-time.After(200 * time.Millisecond):
	}
	if err := os.WriteFile(string(payload), nil, 0o600); err != nil {
		return 1
	}
	return 0
}

func removeMain(_ *stage.Link, payload []byte) int {
	if err := os.RemoveAll(string(payload)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
