package runtime_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
)

// A running job: P as a child of the test.
type running struct {
	cmd *exec.Cmd
	out *bufio.Reader
	err *bytes.Buffer
}

// start starts P and waits for the line "ready".
func (j *job) start(t testing.TB) *running {
	t.Helper()
	cmd := j.cmd(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{cmd: cmd, out: bufio.NewReader(out), err: new(bytes.Buffer)}
	cmd.Stderr = r.err
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	stop := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer stop.Stop()
	if line, err := r.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("instead of ready: %q, %v", line, err)
	}
	return r
}

// end waits for P and returns its status and the rest of the output.
func (r *running) end(t testing.TB) result {
	t.Helper()
	stop := time.AfterFunc(20*time.Second, func() { r.cmd.Process.Kill() })
	defer stop.Stop()
	out, _ := io.ReadAll(r.out)
	r.cmd.Wait()
	return result{r.cmd.ProcessState.ExitCode(), string(out), r.err.String()}
}

// children are the processes whose parent is pid.
func children(t testing.TB, pid int) []int {
	t.Helper()
	var cs []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f) // or the thread has ended
		for _, s := range strings.Fields(string(b)) {
			var c int
			fmt.Sscan(s, &c)
			cs = append(cs, c)
		}
	}
	return cs
}

// gone waits until none of the processes exists (a zombie is gone).
func gone(t testing.TB, pids []int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for _, p := range pids {
		for {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
			if err != nil || strings.HasPrefix(string(b[bytes.LastIndexByte(b, ')')+1:]), " Z") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("process %d is left: %s", p, b)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// tree is S, I and all below, of a running P.
func (r *running) tree(t testing.TB) []int {
	t.Helper()
	var all []int
	for next := []int{r.cmd.Process.Pid}; len(next) > 0; {
		cs := children(t, next[0])
		all, next = append(all, cs...), append(next[1:], cs...)
	}
	return all
}

// awaitComm waits until the last process of the tree executes a program of this name.
func (r *running) awaitComm(t testing.TB, name string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		tree := r.tree(t)
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", tree[len(tree)-1]))
		if string(b) == name+"\n" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s isn't executed, but %s", name, b)
		}
	}
}

func TestSignals(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, c := range []struct {
			name   string
			line   string
			signal unix.Signal
			want   result
		}{
			{"caught", `trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.01; done`, unix.SIGTERM, result{status: 7, out: "caught\n"}},
			{"caught interrupt", `trap 'echo caught; exit 8' INT; echo ready; while :; do sleep 0.01; done`, unix.SIGINT, result{status: 8, out: "caught\n"}},
			{"default TERM", `echo ready; exec sleep 100`, unix.SIGTERM, result{status: 143}},
			{"default INT", `echo ready; exec sleep 100`, unix.SIGINT, result{status: 130}},
			{"default HUP", `echo ready; exec sleep 100`, unix.SIGHUP, result{status: 129}},
			{"default USR1", `echo ready; exec sleep 100`, unix.SIGUSR1, result{status: 138}},
			{"default QUIT", `ulimit -c 0; echo ready; exec sleep 100`, unix.SIGQUIT, result{status: 131}},
			{"real time", `echo ready; exec sleep 100`, unix.Signal(40), result{status: 168}},
			{"ignored", `trap '' TERM; echo ready; sleep 0.2; exit 9`, unix.SIGTERM, result{status: 9}},
			{"without effect", `echo ready; sleep 0.2; exit 9`, unix.SIGCONT, result{status: 9}},
		} {
			for _, init := range []bool{false, true} {
				j := sh(t, c.line)
				j.Init = init
				r := j.start(t)
				left := r.tree(t)
				if strings.Contains(c.line, "exec sleep") {
					// Between the two the shell has a handler for SIGINT.
					r.awaitComm(t, "sleep")
				}
				r.cmd.Process.Signal(c.signal)
				if got := r.end(t); got != c.want {
					t.Errorf("%s, init=%v: got %+v, want %+v", c.name, init, got, c.want)
				}
				gone(t, left)
			}
		}
	})
}

// kill -9 of P or S leaves nothing.
func TestKilled(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, victim := range []string{"P", "S", "both"} {
			for _, init := range []bool{false, true} {
				j := sh(t, `trap '' TERM HUP INT; sleep 1000 & (setsid sleep 1000 &); echo ready; while :; do sleep 1000; done`)
				j.Init = init
				r := j.start(t)
				left := r.tree(t)
				s := children(t, r.cmd.Process.Pid)
				if len(s) != 1 || len(left) < 4 {
					t.Fatalf("P has children %v, tree %v", s, left)
				}
				// What shows whether a mount is left: the root can be removed.
				if victim != "P" {
					unix.Kill(s[0], unix.SIGKILL)
				}
				if victim != "S" {
					r.cmd.Process.Kill()
				}
				got := r.end(t)
				gone(t, left)
				if victim == "S" && (got.status != 125 || !strings.Contains(got.err, "test-monitor was killed: killed")) {
					t.Errorf("P says %+v", got)
				}
				b, err := os.ReadFile("/proc/self/mountinfo")
				if err != nil || bytes.Contains(b, []byte(j.Root)) {
					t.Errorf("a mount is left: %v\n%s", err, b)
				}
			}
		}
	})
}

// With an init, what is orphaned is reaped; without, it is the command's to reap.
func TestReaped(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		line := `for i in 1 2 3 4 5; do (sleep 0.01 &); done; sleep 0.1; for p in /proc/[0-9]*; do cut -d' ' -f2,3 $p/stat; done 2>/dev/null; exit 5`
		j := sh(t, line)
		j.Init = true
		r := j.run(t)
		r.out = strings.NewReplacer(" R\n", "\n", " S\n", "\n", " D\n", "\n").Replace(r.out) // whatever they do, but for Z
		if want := "(cfs-init)\n(sh)\n"; r.out != want || r.status != 5 {
			t.Errorf("got %+v, want %q", r, want)
		}
	})
}

// Signals sent to PID 1 inside reach the command.
func TestSignalInside(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		j := sh(t, `trap 'echo caught; exit 3' USR1; kill -USR1 1; while :; do sleep 0.01; done`)
		j.Init = true
		if r := j.run(t); r != (result{3, "caught\n", ""}) {
			t.Errorf("got %+v", r)
		}
	})
}

// Signals that were ignored or blocked around P are the container's own affair, and
// descriptors that P inherited stay outside.
func TestInheritance(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, init := range []bool{false, true} {
			j := sh(t, `grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | tr '\n' ' '`)
			j.Init = init
			dir, err := os.Open("/")
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			cmd := j.cmd(t)
			var out bytes.Buffer
			cmd.Stdout = &out
			cmd.ExtraFiles = []*os.File{dir, dir, dir}
			// Through nohup, which ignores SIGHUP and leaves the rest alone.
			cmd.Args = append([]string{"sh", "-c", `trap '' HUP INT QUIT TERM PIPE; exec -a "$0" /proc/` + fmt.Sprint(os.Getpid()) + `/exe`}, command)
			cmd.Path, err = exec.LookPath("bash")
			if err != nil {
				t.Skip("SKIPPED: needs bash")
			}
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			if want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0 1 2 3 "; out.String() != want {
				t.Errorf("init=%v: got %q, want %q", init, out.String(), want)
			}
		}
	})
}
