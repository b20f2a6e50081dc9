package contest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/testenv"
)

// Whatever interrupts a benchmark, nothing of it is left.
func TestInterrupted(t *testing.T) {
	needsRoot(t)
	kill := func(s syscall.Signal) func(*testing.T, *exec.Cmd) {
		return func(t *testing.T, c *exec.Cmd) {
			if err := c.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, end := range map[string]func(*testing.T, *exec.Cmd){
		"SIGINT": kill(unix.SIGINT), "SIGTERM": kill(unix.SIGTERM), "SIGHUP": kill(unix.SIGHUP), "killed": kill(unix.SIGKILL),
		"its worker killed": func(t *testing.T, c *exec.Cmd) {
			all := childrenOf(t, c.Process.Pid)
			all = slices.DeleteFunc(all, func(pid int) bool { // nor is it who removes what is left
				name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				return err != nil || !strings.HasPrefix(string(name), workStage)
			})
			if len(all) != 1 {
				t.Fatalf("children: %v, not one worker", all)
			}
			if err := unix.Kill(all[0], unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := testenv.TempDir(t)
			raw, err := json.Marshal(Options{Root: root, Groups: []string{bench.GroupMetadata, bench.GroupIO}, Size: "tiny", Runs: 1000, NoCold: true})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), runEnv+"="+string(raw))
			talk, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said := bufio.NewScanner(talk)
			for n := 0; n < 2 && said.Scan(); { // by then all are mounted, and measured
				if strings.HasPrefix(said.Text(), bench.GroupMetadata) {
					n++
				}
			}
			end(t, cmd)
			var last string
			for said.Scan() { // until the worker has ended, too
				last = said.Text()
			}
			if err := cmd.Wait(); err == nil {
				t.Errorf("it succeeded; its last word: %q", last)
			}
			if cmd.ProcessState.Exited() && !strings.HasPrefix(last, "failed: ") {
				t.Errorf("it ended without a reason: %q", last)
			}
			left, err := filepath.Glob(filepath.Join(root, "bench", "*", "*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
			if cmd.ProcessState.Exited() { // else the empty place is the next one's to remove
				if _, err := os.Stat(placesDir(root)); err == nil {
					t.Errorf("%s is left", placesDir(root))
				}
			}
			for _, users := range usersOf(t, root) {
				t.Errorf("%s is in use by %s", root, users)
			}
		})
	}
}

// childrenOf are the children of all of a process's threads.
func childrenOf(t *testing.T, pid int) (all []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(files) == 0 {
		t.Skip("SKIPPED: needs the kernel to tell children (CONFIG_PROC_CHILDREN)")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // of a thread that has ended
		}
		for _, s := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, n)
		}
	}
	return all
}

// usersOf are the processes that have something mounted below a directory, and the
// loop devices of files there.
func usersOf(t *testing.T, root string) (all []string) {
	t.Helper()
	for _, pattern := range []string{"/proc/[0-9]*/mountinfo", "/sys/block/loop*/loop/backing_file"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(root)) { // else it has ended
				all = append(all, f)
			}
		}
	}
	return all
}

// What a benchmark that was killed with its worker left is removed by the next.
func TestSwept(t *testing.T) {
	needsRoot(t)
	root := testenv.TempDir(t)
	left := filepath.Join(placesDir(root), "run-1", "home")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	running := &place{dir: filepath.Join(placesDir(root), "run-2")}
	if err := os.Mkdir(running.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if ok, err := running.take(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	p, err := newPlace(root, running.mapping)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(left)); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", left, err)
	}
	if _, err := os.Stat(running.dir); err != nil {
		t.Errorf("the place of a running benchmark: %v", err)
	}
	for _, p := range []*place{p, running} {
		if err := p.remove(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
