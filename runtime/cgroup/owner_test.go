package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestOwnerOf(t *testing.T) {
	view := specs.LinuxNamespace{Type: specs.CgroupNamespace}
	user := specs.LinuxNamespace{Type: specs.UserNamespace}
	groups := func(options ...string) []specs.Mount {
		return []specs.Mount{{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: options}}
	}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}, {ContainerID: 1000, HostID: 7, Size: 1}}
	for name, c := range map[string]struct {
		uid        uint32
		namespaces []specs.LinuxNamespace
		mounts     []specs.Mount
		ids        []specs.LinuxIDMapping
		want       int // -1: nobody
	}{
		"its own user":           {5, []specs.LinuxNamespace{view}, groups("nosuid"), nil, 5},
		"mapped":                 {20, []specs.LinuxNamespace{view, user}, groups(), ids, 100020},
		"of the second range":    {1000, []specs.LinuxNamespace{view, user}, groups(), ids, 7},
		"not mapped":             {1001, []specs.LinuxNamespace{view, user}, groups(), ids, -1},
		"read-only":              {5, []specs.LinuxNamespace{view}, groups("nosuid", "ro"), nil, -1},
		"not mounted":            {5, []specs.LinuxNamespace{view}, nil, nil, -1},
		"the host's view":        {5, nil, groups(), nil, -1},
		"another's view":         {5, []specs.LinuxNamespace{{Type: specs.CgroupNamespace, Path: "/x"}}, groups(), nil, -1},
		"another user namespace": {5, []specs.LinuxNamespace{view, {Type: specs.UserNamespace, Path: "/x"}}, groups(), nil, -1},
	} {
		s := &specs.Spec{
			Process: &specs.Process{User: specs.User{UID: c.uid}}, Mounts: c.mounts,
			Linux: &specs.Linux{Namespaces: c.namespaces, UIDMappings: c.ids},
		}
		got := OwnerOf(s)
		if (got == nil) != (c.want < 0) || got != nil && *got != c.want {
			t.Errorf("%s: %v, want %d", name, got, c.want)
		}
	}
	if got := OwnerOf(&specs.Spec{}); got != nil {
		t.Errorf("of nothing: %d", *got)
	}
}

// What limits the group stays the host's.
func TestDelegate(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: giving files away needs root")
	}
	dir := t.TempDir()
	for _, n := range []string{"cgroup.procs", "memory.max", "pids.max"} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := delegate(dir, 4321); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string]uint32{"": 4321, "cgroup.procs": 4321, "memory.max": 0, "pids.max": 0} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, n), &st); err != nil || st.Uid != want {
			t.Errorf("%q is %d's, want %d (%v)", n, st.Uid, want, err)
		}
	}
}
