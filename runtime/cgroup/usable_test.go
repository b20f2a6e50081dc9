package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/internal/testenv"
)

// A group where it is by default, with a limit of memory, found again by its record.
func TestDefault(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: making control groups needs root")
	}
	o, err := Default(fmt.Sprintf("test-default-%d", os.Getpid()), "", false)
	if err != nil {
		t.Fatal(err)
	}
	limit := int64(20 << 20)
	o.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	if SwapCounted() {
		o.Resources.Memory.Swap = &limit
	}
	if err := o.Usable(); err != nil {
		t.Skipf("SKIPPED: no control groups: %v", err)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := o.Record(g)
	hungry := start(t, "read x; y=$(head -c 200000000 /dev/zero | tr '\\0' a)")
	idle := start(t, "read x; exec sleep 1000")
	defer func() { // killed by what is tested
		_ = hungry.Process.Kill()
		_ = idle.Process.Kill()
	}()
	if err := g.Apply(idle.Process.Pid); err != nil {
		t.Fatal(err)
	}
	again, err := r.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Add(hungry.Process.Pid); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{hungry, idle} {
		cmd.Stdin.(*os.File).Close()
	}
	if s, err := again.Stats(); err != nil || s.MemoryStats.Usage.Limit != uint64(limit) {
		t.Errorf("%+v, %v", s, err)
	}
	guest := start(t, "read x")
	if err := again.Add(guest.Process.Pid); err != nil {
		t.Error(err)
	}
	if err := again.Release(guest.Process.Pid); err != nil {
		t.Error(err)
	}
	if pids, err := again.Pids(); err != nil || slices.Contains(pids, guest.Process.Pid) {
		t.Errorf("%d is still in the group: %v, %v", guest.Process.Pid, pids, err)
	}
	guest.Stdin.(*os.File).Close()
	if err := guest.Wait(); err != nil && guest.ProcessState.ExitCode() != 1 { // read(1) at the end of a file
		t.Error(err)
	}
	_ = hungry.Wait()
	if !again.OOMKilled() {
		t.Errorf("it wasn't killed for want of memory: %v", hungry.ProcessState)
	}
	ended := make(chan error)
	go func() { ended <- idle.Wait() }()
	if err := again.End(time.Minute); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("what was left in the group goes on")
	}
	if err := again.End(time.Minute); err != nil {
		t.Errorf("the second time: %v", err)
	}
	for _, dir := range r.Paths {
		if _, err := os.Stat(dir); err == nil && strings.Contains(dir, o.ID) {
			t.Errorf("%s stays", dir)
		}
	}
}

// start starts a shell that waits for its input's end.
func start(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdin = read
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read.Close()
	cmd.Stdin = write // the other end, from now on
	return cmd
}

func TestMain(m *testing.M) {
	testenv.Main()
	os.Exit(m.Run())
}

func TestUsable(t *testing.T) {
	testenv.AsUser(t, testenv.Single, func(t *testing.T, _ testenv.User) {
		o, err := Default("x", "", true)
		if err != nil {
			t.Fatal(err)
		}
		o.Devices = true
		if err := o.Usable(); !errors.Is(err, ErrUnusable) {
			t.Errorf("an ordinary user may restrict devices: %v", err)
		}
	})
}

func TestControllers(t *testing.T) {
	n := int64(1)
	got := controllers(&specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &n}, CPU: &specs.LinuxCPU{Quota: &n, Cpus: "0"}, Pids: &specs.LinuxPids{Limit: &n}, BlockIO: &specs.LinuxBlockIO{},
	})
	if want := "[memory cpuset cpu pids blkio]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if got := controllers(nil); len(got) > 0 {
		t.Error(got)
	}
}
