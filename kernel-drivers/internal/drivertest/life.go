package drivertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// A Mortal makes a driver with a home, whose calls of at are the steps at which a process is killed.
type Mortal func(home string, at func(step string)) cow.Driver

// Deaths are those of processes that are killed at every step of the life of a snapshot.
type Deaths struct {
	New   Mortal
	Home  string
	Chain cow.Chain
	Limit int64 // bytes that the snapshot is limited to; 0: it is not
	// Steps selects from all "verb/step"s in the order of life; nil: all.
	Steps func(all []string) []string
	// Before and After are called for each step, if they are not nil: before the life of
	// which it is the end, and when another process has removed the snapshot.
	Before, After func(step string)
}

// killedVar tells a process what to do until it is killed: a life, as JSON.
const killedVar = "DRIVERTEST_KILLED"

// A life is what happens to one snapshot.
type life struct {
	Home     string
	Snapshot cow.Snapshot
	Target   string
	Limit    int64
	At       string // "verb/step" at which the process is killed; empty: none
}

// verbs are what a driver does in the life of a snapshot. Before the last two it can be used.
var verbs = []string{"create", "limit", "mount", "changes", "remove", "prune"}

// live does them one after the other, and tells seen of each step.
func (l life) live(ctx context.Context, driver Mortal, seen func(step string)) error {
	for _, verb := range verbs {
		d := driver(l.Home, func(step string) { seen(verb + "/" + step) })
		if err := l.do(ctx, d, verb); err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
	}
	return nil
}

func (l life) do(ctx context.Context, d cow.Driver, verb string) error {
	switch verb {
	case "create":
		return d.Create(ctx, l.Snapshot)
	case "limit":
		if l.Limit == 0 {
			return nil
		}
		return d.(cow.Limiter).Limit(ctx, l.Snapshot, l.Limit)
	case "mount":
		m, err := d.Mount(ctx, l.Snapshot, l.Target, cow.MountOptions{})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(l.Target, "new"), []byte("n"), 0o644); err != nil {
			return err
		}
		return m.Unmount()
	case "changes":
		for _, err := range d.Changes(ctx, l.Snapshot) {
			if err != nil {
				return err
			}
		}
		return nil
	case "remove":
		return d.Remove(ctx, l.Snapshot)
	default:
		return d.(cow.Pruner).Prune(ctx, nil)
	}
}

// Live lives until it is killed, in a process that Run has started, and does nothing in others. It
// has to be called by the test that calls Run, or that this is a part of.
func Live(t *testing.T, driver Mortal) {
	t.Helper()
	spec := os.Getenv(killedVar)
	if spec == "" {
		return
	}
	var l life
	if err := json.Unmarshal([]byte(spec), &l); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	err := l.live(t.Context(), driver, func(step string) {
		if step == l.At {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	})
	t.Fatalf("it was not killed at %s: %v", l.At, err)
}

// Run kills a process at every step. Whoever comes next has a snapshot that works, and removes
// it without leaving anything of it.
func (d Deaths) Run(t *testing.T) {
	t.Helper()
	var steps []string
	err := d.life(t).live(t.Context(), d.New, func(step string) {
		if !slices.Contains(steps, step) {
			steps = append(steps, step)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) < 8 {
		t.Fatalf("there are only these steps: %v", steps)
	}
	if d.Steps != nil {
		steps = d.Steps(steps)
	}
	for _, step := range steps {
		if d.Before != nil {
			d.Before(step)
		}
		t.Logf("killed at %s", step)
		l := d.life(t)
		l.At = step
		if out, killed := die(t, l); !killed {
			t.Errorf("at %s: %s", step, out)
			continue
		}
		verb, _, _ := strings.Cut(step, "/")
		next := verbs[:5]
		if verb == "remove" || verb == "prune" {
			next = verbs[4:5] // what is half removed can't be used
		}
		driver := d.New(d.Home, func(string) {})
		for _, verb := range next {
			if err := l.do(t.Context(), driver, verb); err != nil {
				t.Errorf("killed at %s, then %s: %v", step, verb, err)
			}
		}
		if left, err := os.ReadDir(l.Snapshot.Dir); err != nil || len(left) > 0 {
			t.Errorf("killed at %s: left %v, %v", step, left, err)
		}
		if d.After != nil {
			d.After(step)
		}
	}
}

func (d Deaths) life(t *testing.T) life {
	return life{Home: d.Home, Snapshot: cow.Snapshot{Dir: t.TempDir(), Base: d.Chain}, Target: t.TempDir(), Limit: d.Limit}
}

// die has another process live until it is killed.
func die(t *testing.T, l life) (out []byte, killed bool) {
	t.Helper()
	spec, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+name+"$", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), killedVar+"="+string(spec), "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, _ = cmd.CombinedOutput() // how it ended is what is asked for
	return out, cmd.ProcessState != nil && cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled()
}
