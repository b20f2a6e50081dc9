package runtime_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/seccomp"
)

// namespaces lists those of the process.
const namespaces = `for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done`

// withExec is a container that sleeps, in which one more process runs line.
func withExec(t *testing.T, init bool, line string) *job {
	t.Helper()
	o := runtime.SpecOptions{Hostname: "box", Args: []string{"sh", "-c", namespaces + ">/tmp/ns; echo main >/tmp/made; sleep 100; true"}}
	j := newJob(t, o)
	j.Init = init
	o.Args = []string{"sh", "-c", "until test -s /tmp/made; do sleep 0.01; done; " + line}
	o.Env = []string{"GREETING=hi"}
	j.Exec = newJob(t, o).Spec.Process
	return j
}

func TestExec(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, init := range []bool{false, true} {
			j := withExec(t, init, `
cat /tmp/made; hostname; echo $GREETING; pwd; id -u
`+namespaces+` | diff /tmp/ns -
ls /proc/self/fd | tr '\n' ' '; grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status
ls /; exit 7`)
			var err error
			if j.Spec.Linux.Seccomp, err = seccomp.Default(j.Spec); err != nil {
				t.Fatal(err)
			}
			r := j.run(t)
			want := "main\nbox\nhi\n/\n0\n0 1 2 3 CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\nbin\ndev\netc\nhome\nproc\nroot\nsys\ntmp\nusr\n"
			if diff := cmp.Diff(want, r.out); diff != "" || r.err != "ended with 7\n" || r.status != 128+int(unix.SIGKILL) {
				t.Errorf("init=%v: %s%+v", init, diff, r)
			}
		}
	})
}

func TestExecFails(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		j := withExec(t, false, "")
		j.Exec.Args = []string{"nosuch"}
		if r := j.run(t); !strings.Contains(r.err, "nosuch") || !strings.Contains(r.err, "ended with 127\n") {
			t.Errorf("%+v", r)
		}
		j.Exec.Args = []string{"true"}
		j.Exec.Cwd = "/nosuch"
		if r := j.run(t); !strings.Contains(r.err, "working directory /nosuch") || !strings.Contains(r.err, "ended with 125\n") {
			t.Errorf("%+v", r)
		}
	})
	if _, err := runtime.Exec(t.Context(), 1<<22, newJob(t, runtime.SpecOptions{Args: []string{"true"}}).Spec, runtime.Options{}); err == nil {
		t.Error("a process in no container")
	}
}

func TestExecTerminal(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		j := withExec(t, true, "tty; test -t 0 && test -t 1 && test -t 2 && echo terminal")
		j.Exec.Terminal = true
		if r := j.run(t); r.out != "/dev/pts/0\r\nterminal\r\n" || r.err != "ended with 0\n" {
			t.Errorf("%+v", r)
		}
	})
}

// process.execCPUAffinity: where a process of exec begins, and where its command is to run. The
// container's own process is not concerned.
func TestExecAffinity(t *testing.T) {
	all, err := cpusOf(0)
	if err != nil {
		t.Fatal(err)
	}
	cpus := strings.Split(all, ",")
	if len(cpus) < 2 {
		t.Skip("SKIPPED: a process can be kept to one of two processors only where there are two")
	}
	first, last := cpus[0], cpus[len(cpus)-1]
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, c := range []struct {
			affinity   specs.CPUAffinity
			begin, run string
		}{
			{specs.CPUAffinity{Initial: first, Final: last}, first, last},
			{specs.CPUAffinity{Initial: last, Final: strings.Join([]string{first, last}, ",")}, last, first + "," + last},
			{specs.CPUAffinity{Final: first}, all, first},
			{specs.CPUAffinity{}, all, all},
		} {
			j := withExec(t, false, "grep Cpus_allowed_list: /proc/self/status | tr - ,")
			j.Exec.ExecCPUAffinity = &c.affinity
			r := j.run(t)
			want := "begins on " + c.begin + "\nended with 0\n"
			if r.err != want {
				t.Errorf("%+v: %q, want %q", c.affinity, r.err, want)
			}
			if len(cpus) == 2 && r.out != "Cpus_allowed_list:\t"+c.run+"\n" { // of more there are ranges
				t.Errorf("%+v: printed %q, want %s", c.affinity, r.out, c.run)
			}
		}
		for affinity, text := range map[specs.CPUAffinity]string{
			{Initial: "8000"}:          "process.execCPUAffinity: invalid argument",
			{Final: "8000-8001"}:       "process.execCPUAffinity: invalid argument",
			{Initial: "3-1"}:           `process.execCPUAffinity.initial "3-1"`,
			{Initial: "0", Final: "x"}: `process.execCPUAffinity.final "x"`,
			{Final: "9999"}:            `process.execCPUAffinity.final "9999"`,
		} {
			j := withExec(t, false, "true")
			j.Exec.ExecCPUAffinity = &affinity
			if r := j.run(t); !strings.Contains(r.err, text) || !strings.Contains(r.err, "ended with 125\n") {
				t.Errorf("%+v: %+v, want %s", affinity, r, text)
			}
		}
	})
}
