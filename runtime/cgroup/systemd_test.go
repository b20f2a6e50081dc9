package cgroup

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/testenv"
)

// pretendVar is set in the run of this test binary where systemd is said to run.
const pretendVar = "CFS_TEST_SYSTEMD"

// Where systemd doesn't run, whoever asks for it is told what to do instead.
func TestNoSystemd(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("SKIPPED: systemd runs here")
	}
	_, err := New(Options{ID: "x", Systemd: true})
	if err == nil || !strings.Contains(err.Error(), "systemd not running on this host") || !strings.Contains(hint.Of(err), "cgroupfs") {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
}

// What systemd is asked for, by way of a bus with an object in its place: a scope in the
// slice, with the limits, which is stopped in the end.
func TestSystemd(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: making control groups needs root")
	}
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		t.Skip("SKIPPED: needs dbus-daemon: ", err)
	}
	if err := (Options{Path: "/x", Devices: true}).Usable(); err != nil {
		t.Skipf("SKIPPED: no control groups: %v", err)
	}
	if os.Getenv(pretendVar) == "" {
		// In a process that hasn't yet looked whether systemd runs, with a /run of its own.
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestSystemd$", "-test.v=true", "-test.count=1")
		cmd.Env = append(os.Environ(), pretendVar+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestSystemd") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/systemd/system", 0o755); err != nil {
		t.Fatal(err)
	}
	s := startFakeSystemd(t)
	slice := fmt.Sprintf("cfstest%d.slice", os.Getpid())
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: p(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: p(int64(20))},
		CPU: &specs.LinuxCPU{Quota: p(int64(50_000)), Period: p(uint64(100_000))},
	}
	g, err := New(Options{ID: "x", Path: slice + ":cfs:x", Systemd: true, Resources: r})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = g.Apply(cmd.Process.Pid)
	if e := g.Set(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p(int64(30))}}); err == nil {
		err = e
	}
	changed := s.all()["TasksMax"]
	if e := cmd.Process.Kill(); err == nil {
		err = e
	}
	_ = cmd.Wait()
	if e := g.Destroy(); err == nil {
		err = e
	}
	// The slice, which is systemd's to make and to remove, is the library's here.
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		dirs, _ := filepath.Glob(pattern + slice)
		for _, dir := range dirs {
			if e := os.Remove(dir); err == nil {
				err = e
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	const scope = "cfs-x.scope"
	if s.started != scope || s.stopped != scope {
		t.Errorf("started %q, stopped %q", s.started, s.stopped)
	}
	memory := "MemoryMax"
	if s.has("MemoryLimit") { // as cgroup v1 has it
		memory = "MemoryLimit"
	}
	for name, want := range map[string]any{
		"Slice": slice, "Delegate": true, "DefaultDependencies": false, "PIDs": []uint32{uint32(cmd.Process.Pid)},
		memory: uint64(64 << 20), "CPUQuotaPerSecUSec": uint64(500_000),
	} {
		if got := s.all()[name]; fmt.Sprint(got.Value()) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if fmt.Sprint(changed.Value()) != "30" {
		t.Errorf("the changed limit of tasks is %v", changed)
	}
}

// A fakeSystemd answers what the library asks of systemd, and notes down what it was told.
type fakeSystemd struct {
	conn *dbus.Conn

	mu               sync.Mutex
	jobs             uint32
	started, stopped string
	properties       map[string]dbus.Variant
}

// A property is org.freedesktop.systemd1's (sv).
type property struct {
	Name  string
	Value dbus.Variant
}

const systemdPath = "/org/freedesktop/systemd1"

// startFakeSystemd starts a bus, which is the system's for this process, with the fake on it.
func startFakeSystemd(t *testing.T) *fakeSystemd {
	t.Helper()
	address := "unix:path=" + filepath.Join(testenv.TempDir(t), "bus")
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address", "--address="+address)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it listens
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	s := &fakeSystemd{properties: map[string]dbus.Variant{}}
	if s.conn, err = dbus.Connect(address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	if err := s.conn.Export(s, systemdPath, "org.freedesktop.systemd1.Manager"); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Export(s, systemdPath, "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.RequestName("org.freedesktop.systemd1", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return s
}

// done says that a job has been done, as systemd does once it has answered.
func (s *fakeSystemd) done(unit string) dbus.ObjectPath {
	s.jobs++
	job := dbus.ObjectPath(fmt.Sprintf("%s/job/%d", systemdPath, s.jobs))
	_ = s.conn.Emit(systemdPath, "org.freedesktop.systemd1.Manager.JobRemoved", s.jobs, job, unit, "done")
	return job
}

func (s *fakeSystemd) note(properties []property) {
	for _, p := range properties {
		s.properties[p.Name] = p.Value
	}
}

func (s *fakeSystemd) all() map[string]dbus.Variant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.properties)
}

func (s *fakeSystemd) has(name string) bool {
	_, ok := s.all()[name]
	return ok
}

// The methods that are called by the bus: org.freedesktop.systemd1(5).

func (s *fakeSystemd) StartTransientUnit(unit, _ string, properties []property, _ []struct {
	Name       string
	Properties []property
}) (dbus.ObjectPath, *dbus.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = unit
	s.note(properties)
	return s.done(unit), nil
}

func (s *fakeSystemd) StopUnit(unit, _ string) (dbus.ObjectPath, *dbus.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = unit
	return s.done(unit), nil
}

func (s *fakeSystemd) SetUnitProperties(_ string, _ bool, properties []property) *dbus.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(properties)
	return nil
}

func (s *fakeSystemd) ResetFailedUnit(string) *dbus.Error { return nil }

func (s *fakeSystemd) Subscribe() *dbus.Error { return nil }

// Get is of org.freedesktop.DBus.Properties: systemd's version is asked for.
func (s *fakeSystemd) Get(_, name string) (dbus.Variant, *dbus.Error) {
	if name != "Version" {
		return dbus.Variant{}, dbus.MakeFailedError(fmt.Errorf("no property %s", name))
	}
	return dbus.MakeVariant("252"), nil
}
