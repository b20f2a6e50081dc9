package oci_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/oci"
)

func TestLifecycle(t *testing.T) {
	asRoot(t)
	b := newBox(t, "echo running; exec sleep 1000")
	b.spec.Annotations = map[string]string{"a": "b"}
	o := b.options("box")
	o.PIDFile = filepath.Join(b.bundle, "pid")
	c, _, err := b.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := c.State()
	if s.Status != specs.StateCreated || s.ID != "box" || s.Bundle != b.bundle || s.Annotations["a"] != "b" || s.Pid == 0 || b.printed() != "" {
		t.Errorf("created: %+v, printed %q", s, b.printed())
	}
	if pid, err := os.ReadFile(o.PIDFile); err != nil || string(pid) != strconv.Itoa(s.Pid) {
		t.Errorf("pid file: %q, %v, want %d", pid, err, s.Pid)
	}
	if _, _, err := b.Create(t.Context(), o); !errors.Is(err, oci.ErrExist) {
		t.Errorf("the same ID twice: %v", err)
	}
	if err := c.Delete(false); !errors.Is(err, oci.ErrStatus) || c.Status() != specs.StateCreated {
		t.Errorf("delete what is created: %v", err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	b.prints("running\n")
	if c.Status() != specs.StateRunning {
		t.Errorf("started: %s", c.Status())
	}
	for name, err := range map[string]error{"start": c.Start(), "delete": c.Delete(false)} {
		if !errors.Is(err, oci.ErrStatus) {
			t.Errorf("%s what runs: %v", name, err)
		}
	}
	if all, err := b.List(); err != nil || len(all) != 1 || all[0].ID != "box" {
		t.Errorf("list: %v, %v", all, err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	await(t, c, specs.StateStopped)
	if err := c.Kill(unix.SIGTERM, false); !errors.Is(err, runtime.ErrNotRunning) {
		t.Errorf("kill what is stopped: %v", err)
	}
	if s := c.State(); s.Pid != 0 {
		t.Errorf("a stopped container has process %d", s.Pid)
	}
	if err := c.Delete(false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open("box"); !errors.Is(err, oci.ErrNotExist) {
		t.Errorf("deleted: %v", err)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/cfs-box"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A container that can't be is not there afterwards.
func TestCreateFails(t *testing.T) {
	asRoot(t)
	for name, c := range map[string]struct {
		change func(*specs.Spec)
		is     error
	}{
		"command":   {func(s *specs.Spec) { s.Process.Args = []string{"nosuch"} }, runtime.ErrNotFound},
		"directory": {func(s *specs.Spec) { s.Process.Cwd = "/no/such" }, unix.ENOENT},
		"field":     {func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }, runtime.ErrUnsupported},
		"root":      {func(s *specs.Spec) { s.Root.Path = "/no/such" }, unix.ENOENT},
		"hook":      {func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}} }, nil},
		"terminal":  {func(s *specs.Spec) { s.Process.Terminal = true }, nil},
	} {
		b := newBox(t, "true")
		c.change(b.spec)
		_, _, err := b.Create(t.Context(), b.options("box"))
		// What init says comes as text.
		if err == nil || c.is != nil && !errors.Is(err, c.is) && !strings.Contains(err.Error(), c.is.Error()) {
			t.Errorf("%s: %v, want %v", name, err, c.is)
		}
		if all, err := b.List(); err != nil || len(all) != 0 {
			t.Errorf("%s: left %v, %v", name, all, err)
		}
	}
}

// An ordinary user is told what is missing.
func TestOrdinaryUser(t *testing.T) {
	testenv.AsUser(t, testenv.Single, func(t *testing.T, who testenv.User) {
		b := newBox(t, "true")
		if _, _, err := b.Create(t.Context(), b.options("box")); !errors.Is(err, oci.ErrPrivilege) {
			t.Error(err)
		}
	})
}

func TestIDs(t *testing.T) {
	r := &oci.Runtime{Root: t.TempDir()}
	for _, id := range []string{"", ".", "..", "a/b", "a b", "../x", "ä", strings.Repeat("x", 256)} {
		if _, err := r.Open(id); !errors.Is(err, oci.ErrID) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := r.Open("a_b+c-d.E9"); !errors.Is(err, oci.ErrNotExist) {
		t.Error(err)
	}
}

// What a creation leaves that is killed at its beginning is stopped, and can be deleted.
func TestKilledCreation(t *testing.T) {
	r := &oci.Runtime{Root: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(r.Root, "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := r.Open("half")
	if err != nil || c.Status() != specs.StateStopped {
		t.Fatalf("%v, %v", c, err)
	}
	if err := c.Delete(false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open("half"); !errors.Is(err, oci.ErrNotExist) {
		t.Error(err)
	}
}

// Each hook gets the state, at its place in the container's life (runtime.md, "Lifecycle").
func TestHooks(t *testing.T) {
	asRoot(t)
	b := newBox(t, "true")
	log := filepath.Join(b.bundle, "log")
	hook := func(kind string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", `{ printf '%s ' $0 $V; cat; echo; } >>` + log, kind}, Env: []string{"V=x"}}}
	}
	// Those of the container's namespaces have no file of the host's to write to.
	inside := func(kind string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >/dev/null; echo " + kind + " $V >>/seen"}, Env: []string{"V=x"}}}
	}
	b.spec.Hooks = &specs.Hooks{
		//lint:ignore SA1019 deprecated by the specification, and still to be run
		Prestart:        hook("prestart"),
		CreateRuntime:   hook("createRuntime"),
		CreateContainer: hook("createContainer"), StartContainer: inside("startContainer"),
		// The process has ended when the second is run.
		Poststart: append([]specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "0.2"}}}, hook("poststart")...), Poststop: hook("poststop"),
	}
	b.spec.Root.Readonly = false
	b.spec.Process.Args = []string{"sh", "-c", "cat /seen"}
	if out := b.run(); out != "startContainer x\n" {
		t.Errorf("printed %q", out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(line, " ", 3)
		var s specs.State
		if err := json.Unmarshal([]byte(f[2]), &s); err != nil || s.ID != "once" || s.Bundle != b.bundle || f[1] != "x" {
			t.Errorf("%s: %v", line, err)
		}
		if f[0] == "poststart" && s.Pid <= 0 {
			t.Errorf("poststart is told of no process: %s", line)
		}
		got = append(got, f[0]+" "+string(s.Status))
	}
	want := []string{"prestart created", "createRuntime creating", "createContainer creating", "poststart running", "poststop stopped"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// How a process ended that was left to itself is its next parent's to learn: containerd's
// shim waits for ever for one that was reaped before.
func TestDetachedExecIsNotReaped(t *testing.T) {
	asRoot(t)
	b := newBox(t, "exec sleep 1000")
	c := b.start("box")
	p, err := c.ProcessConfig()
	if err != nil {
		t.Fatal(err)
	}
	p.Args = []string{"sh", "-c", "exit 7"}
	pidFile := filepath.Join(b.bundle, "pid")
	if s, err := c.Exec(t.Context(), oci.ExecOptions{Process: p, Detach: true, PIDFile: pidFile}); s != 0 || err != nil {
		t.Fatal(s, err)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	// Who would reap it has seen its end by now.
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 7 {
		t.Errorf("status %d, %v", status.ExitStatus(), err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	await(t, c, specs.StateStopped)
}

func TestExec(t *testing.T) {
	asRoot(t)
	b := newBox(t, "echo up; exec sleep 1000")
	c := b.start("box")
	b.prints("up\n")
	if s := b.exec(c, "hostname; id -u; ls /proc/self/fd | tr '\\n' ' '; exit 7"); s != 7 {
		t.Errorf("status %d", s)
	}
	if got := b.printed(); got != "up\ncfs\n0\n0 1 2 3 " {
		t.Errorf("printed %q", got)
	}
	p, err := c.ProcessConfig()
	if err != nil {
		t.Fatal(err)
	}
	p.Args = []string{"sleep", "1000"}
	pidFile := filepath.Join(b.bundle, "pid")
	if s, err := c.Exec(t.Context(), oci.ExecOptions{Process: p, Detach: true, PIDFile: pidFile}); s != 0 || err != nil {
		t.Fatal(s, err)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := c.Processes()
	if err != nil || !slices.Contains(pids, c.Process.PID) || !slices.ContainsFunc(pids, func(p int) bool { return strconv.Itoa(p) == string(text) }) {
		t.Errorf("processes %v, %v; want %d and %s", pids, err, c.Process.PID, text)
	}
	p.Args = []string{"nosuch"}
	if s, err := c.Exec(t.Context(), oci.ExecOptions{Process: p}); s != runtime.StatusNotFound || !errors.Is(err, runtime.ErrNotFound) {
		t.Error(s, err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	// The container's end waits for that of all in it, and the detached one is our child.
	if pid, err := strconv.Atoi(string(text)); err != nil {
		t.Error(err)
	} else if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
	await(t, c, specs.StateStopped)
	if _, err := c.Exec(t.Context(), oci.ExecOptions{Process: p}); !errors.Is(err, runtime.ErrNotRunning) {
		t.Error(err)
	}
}
