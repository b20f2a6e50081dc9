package zfs

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

// killedVar tells a process what to do until it is killed: a life, as JSON.
const killedVar = "ZFS_KILLED"

// A life is what happens to one snapshot.
type life struct {
	Home     string
	Snapshot cow.Snapshot
	Target   string
	At       string // "verb/step" at which the process is killed; empty: none
}

// verbs are what a driver does in the life of a snapshot.
var verbs = []string{"create", "mount", "changes", "remove", "prune"}

// live does them one after the other, and tells seen of each step.
func (l life) live(ctx context.Context, d *Driver, seen func(step string)) error {
	for _, verb := range verbs {
		d.at = func(step string) { seen(verb + "/" + step) }
		if err := l.do(ctx, d, verb); err != nil {
			return err
		}
	}
	d.at = func(string) {}
	return nil
}

func (l life) do(ctx context.Context, d *Driver, verb string) error {
	switch verb {
	case "create":
		return d.Create(ctx, l.Snapshot)
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
		return d.Prune(ctx, nil)
	}
}

// liveUntilKilled is the process that is killed.
func liveUntilKilled(t *testing.T, mount mounter) {
	var l life
	if err := json.Unmarshal([]byte(os.Getenv(killedVar)), &l); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	d := New(l.Home, nil)
	d.mount = mount
	err := l.live(t.Context(), d, func(step string) {
		if step == l.At {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	})
	t.Fatalf("it was not killed at %s: %v", l.At, err)
}

// kills kills a process at every step, and in every verb. Whoever comes next has a
// snapshot that works, and removes it without leaving anything in the pool.
func kills(t *testing.T, d *Driver) {
	chain := drivertest.Chain(t, cowtest.Layer{cowtest.File("a", "a")})
	next := func() life {
		return life{Home: d.home, Snapshot: cow.Snapshot{Dir: t.TempDir(), Base: chain}, Target: t.TempDir()}
	}
	var steps []string
	seen := map[string]bool{}
	if err := next().live(t.Context(), d, func(step string) {
		if !seen[step] {
			steps = append(steps, step)
		}
		seen[step] = true
	}); err != nil {
		t.Fatal(err)
	}
	if len(steps) < 8 {
		t.Fatalf("there are only these steps: %v", steps)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	for _, step := range steps {
		verb, _, _ := strings.Cut(step, "/")
		t.Logf("killed at %s", step)
		l := next()
		l.At = step
		spec, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^"+name+"$", "-test.timeout=120s")
		cmd.Env = append(os.Environ(), killedVar+"="+string(spec), "TMPDIR="+t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if out, _ := cmd.CombinedOutput(); !cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			t.Errorf("at %s: %s", step, out)
			continue
		}
		for _, next := range verbs[:3] {
			if verb == "remove" || verb == "prune" {
				break
			}
			if err := l.do(t.Context(), d, next); err != nil {
				t.Errorf("killed at %s, then %s: %v", step, next, err)
			}
		}
		for _, next := range verbs[3:] {
			if err := l.do(t.Context(), d, next); err != nil {
				t.Errorf("killed at %s, then %s: %v", step, next, err)
			}
		}
		if left, err := os.ReadDir(l.Snapshot.Dir); err != nil || len(left) > 0 {
			t.Errorf("killed at %s: left %v, %v", step, left, err)
		}
		if n := count(t, d); n != 0 {
			t.Errorf("killed at %s: %d datasets are left", step, n)
		}
	}
}
