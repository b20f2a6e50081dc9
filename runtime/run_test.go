package runtime_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/userns"
)

// newJob is a container of the busybox root with Docker's defaults.
func newJob(t testing.TB, o runtime.SpecOptions) *job {
	t.Helper()
	o.Mapping, _ = userns.Detect()
	if o.Network == "" {
		o.Network = runtime.NetworkNone
	}
	return &job{Root: testenv.BusyboxRoot(t), Spec: runtime.DefaultSpec(o)}
}

// sh is newJob for a line of shell.
func sh(t testing.TB, line string) *job {
	return newJob(t, runtime.SpecOptions{Args: []string{"sh", "-c", line}})
}

// cmd is P, not yet started.
func (j *job) cmd(t testing.TB) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	return &exec.Cmd{Path: "/proc/self/exe", Args: []string{command}, Env: append(os.Environ(), commandVar+"="+string(b))}
}

type result struct {
	status   int
	out, err string
}

// run runs P to its end.
func (j *job) run(t testing.TB) result {
	t.Helper()
	cmd := j.cmd(t)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer stop.Stop()
	cmd.Wait()
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ok is run for a job that must succeed; it returns its output.
func (j *job) ok(t testing.TB) string {
	t.Helper()
	r := j.run(t)
	if r.status != 0 || r.err != "" {
		t.Fatalf("status %d, stderr %q, stdout %q", r.status, r.err, r.out)
	}
	return r.out
}

func TestExitStatus(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, c := range []struct {
			args   []string
			status int
			stderr string
		}{
			{[]string{"true"}, 0, ""},
			{[]string{"/bin/false"}, 1, ""},
			{[]string{"sh", "-c", "exit 42"}, 42, ""},
			{[]string{"sh", "-c", "exit 255"}, 255, ""},
			{[]string{"sh", "-c", "exec sh -c 'kill -KILL $$'"}, 137, ""},
			{[]string{"nonesuch"}, 127, `exec "nonesuch": executable file not found in $PATH`},
			{[]string{"/none/such"}, 127, `exec "/none/such": no such file or directory`},
			{[]string{"/etc/passwd"}, 126, `exec "/etc/passwd": permission denied`},
			{[]string{"/etc"}, 126, `exec "/etc": is a directory`},
			{[]string{"/bin/noexec-format"}, 126, `exec "/bin/noexec-format": exec format error`},
			{[]string{"/bin/nointerp"}, 127, `exec "/bin/nointerp": no such file or directory`},
		} {
			for _, init := range []bool{false, true} {
				j := newJob(t, runtime.SpecOptions{Args: c.args})
				write(t, j.Root+"/bin/noexec-format", "\x01\x02", 0o755)
				write(t, j.Root+"/bin/nointerp", "#!/none/such\n", 0o755)
				j.Init = init
				if !init && c.status == 137 {
					continue // PID 1 can't kill itself
				}
				r := j.run(t)
				if r.status != c.status || strings.TrimSpace(r.err) != c.stderr {
					t.Errorf("%q init=%v: status %d, stderr %q; want %d, %q", c.args, init, r.status, r.err, c.status, c.stderr)
				}
			}
		}
	})
}

func write(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
