package runtime_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

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
	commandVar = "CFS_TEST_COMMAND"
)

// A job is what P passes to S.
type job struct {
	Root  string
	Spec  *specs.Spec
	Init  bool
	Early bool // use Prestart
}

func TestMain(m *testing.M) {
	testenv.Main()
	runtime.Main(stage.Table{monitor: monitorMain, remove: removeMain})
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
	status, err := runtime.Run(l.Context(), runtime.Bundle{Root: j.Root, Spec: j.Spec}, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return status
}

func removeMain(_ *stage.Link, payload []byte) int {
	if err := os.RemoveAll(string(payload)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
