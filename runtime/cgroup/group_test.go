package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func p[T any](v T) *T { return &v }

func TestResources(t *testing.T) {
	r, limits, err := resources(&specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: p(int64(1 << 20))}, CPU: &specs.LinuxCPU{Quota: p(int64(5000)), Shares: p(uint64(1024)), Cpus: "0"},
		Pids:    &specs.LinuxPids{Limit: p(int64(7))},
		Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: p(int64(10)), Access: "rw"}},
	}, true)
	if err != nil || !limits {
		t.Fatal(err, limits)
	}
	if r.Memory != 1<<20 || r.CpuQuota != 5000 || r.CpusetCpus != "0" || r.CpuWeight == 0 || *r.PidsLimit != 7 {
		t.Errorf("%+v", r)
	}
	if first := r.Devices[0]; first.Allow || string(first.Permissions) != "rwm" {
		t.Errorf("the first rule is %+v", first)
	}
	if d := r.Devices[1]; !d.Allow || d.Major != 10 || d.Minor != -1 {
		t.Errorf("%+v", d)
	}
	if _, limits, err := resources(nil, false); limits || err != nil {
		t.Error(limits, err)
	}
	for _, d := range []specs.LinuxDeviceCgroup{{Type: "x"}, {Type: "c", Access: "q"}} {
		if _, _, err := resources(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{d}}, true); err == nil {
			t.Errorf("%+v was taken", d)
		}
	}
}

func TestGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making control groups needs root")
	}
	o := Options{ID: "test", Path: fmt.Sprintf("/cfs-test-group-%d", os.Getpid()), Devices: true, Resources: &specs.LinuxResources{
		Pids: &specs.LinuxPids{Limit: p(int64(20))}, Memory: &specs.LinuxMemory{Limit: p(int64(64 << 20))},
	}}
	if err := o.Usable(); err != nil {
		t.Skipf("SKIPPED: no control groups: %v", err)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "read x; cat /proc/self/cgroup; cat </dev/null; head -c1 </dev/kmsg")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Destroy(); err != nil {
			t.Error(err)
		}
		for _, dir := range g.Paths() {
			if _, err := os.Stat(dir); err == nil && strings.Contains(dir, "cfs-test-group") {
				t.Errorf("%s stays", dir)
			}
		}
	}()
	if err := g.Apply(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if pids, err := g.Pids(); err != nil || len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("%v, %v", pids, err)
	}
	if s, err := g.Stats(); err != nil || s.PidsStats.Limit != 20 || s.PidsStats.Current != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := g.Freeze(true); err != nil {
		t.Error(err)
	}
	again, err := Open(o, g.Paths())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Freeze(false); err != nil {
		t.Error(err)
	}
	if err := again.Set(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p(int64(30))}}); err != nil {
		t.Error(err)
	}
	if s, err := g.Stats(); err != nil || s.PidsStats.Limit != 30 {
		t.Errorf("%+v, %v", s, err)
	}
	in.Close()
	_ = cmd.Wait()
	if !strings.Contains(out.String(), "/cfs-test-group") {
		t.Errorf("it was in %s", out.String())
	}
	if !strings.Contains(out.String(), "/dev/kmsg: Operation not permitted") && !strings.Contains(out.String(), "cannot open /dev/kmsg") {
		t.Errorf("a device that isn't allowed was opened: %s", out.String())
	}
	if g.OOMKilled() {
		t.Error("something was killed")
	}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want cgroups.Cgroup
	}{
		{Options{ID: "x", Path: "/a/../../b"}, cgroups.Cgroup{Path: "/b"}},
		{Options{ID: "x", Path: "a/b"}, cgroups.Cgroup{Path: "/a/b"}},
		{Options{ID: "x", Systemd: true, Path: "s.slice:p:n"}, cgroups.Cgroup{Parent: "s.slice", ScopePrefix: "p", Name: "n"}},
		{Options{ID: "x", Systemd: true}, cgroups.Cgroup{ScopePrefix: "cfs", Name: "x"}},
	} {
		var got cgroups.Cgroup
		if err := place(&got, c.o); err != nil || got.Path != c.want.Path || got.Parent != c.want.Parent || got.ScopePrefix != c.want.ScopePrefix || got.Name != c.want.Name {
			t.Errorf("%+v: %+v, %v", c.o, got, err)
		}
	}
	if err := place(&cgroups.Cgroup{}, Options{Systemd: true, Path: "/a"}); err == nil {
		t.Error("a path was taken for systemd")
	}
	if g := (&Group{}); !g.None() || g.Destroy() != nil || g.Apply(1) != nil || g.Freeze(true) != ErrNone {
		t.Error("no group")
	}
}
