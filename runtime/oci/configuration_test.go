package oci_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/oci"
)

func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
}

// set changes what a configuration says of one kind of namespace.
func (b *box) set(ns specs.LinuxNamespace) {
	l := b.spec.Linux
	for i := range l.Namespaces {
		if l.Namespaces[i].Type == ns.Type {
			l.Namespaces[i] = ns
			return
		}
	}
	l.Namespaces = append(l.Namespaces, ns)
}

func (b *box) mapUsers(first uint32) {
	b.set(specs.LinuxNamespace{Type: specs.UserNamespace})
	b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: first, Size: 65536}}
	b.spec.Linux.GIDMappings = b.spec.Linux.UIDMappings
}

// Namespaces of another container, all that can be, the user's among them.
func TestNamespacesByPath(t *testing.T) {
	asRoot(t)
	b := newBox(t, "echo up; exec sleep 1000")
	b.mapUsers(200000)
	c := b.start("box")
	b.prints("up")
	if s := b.exec(c, "cat /proc/self/uid_map; id -u"); s != 0 || !strings.Contains(b.printed(), " 200000 ") {
		t.Errorf("status %d, printed %q", s, b.printed())
	}

	kinds := map[string]specs.LinuxNamespaceType{"user": specs.UserNamespace, "pid": specs.PIDNamespace, "net": specs.NetworkNamespace, "ipc": specs.IPCNamespace, "uts": specs.UTSNamespace}
	other := newBox(t, "for n in user pid net ipc uts; do readlink /proc/self/ns/$n; done; hostname; id -u")
	other.spec.Hostname = ""
	for file, kind := range kinds {
		other.set(specs.LinuxNamespace{Type: kind, Path: fmt.Sprintf("/proc/%d/ns/%s", c.Process.PID, file)})
	}
	want := ""
	for _, file := range []string{"user", "pid", "net", "ipc", "uts"} {
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", c.Process.PID, file))
		if err != nil {
			t.Fatal(err)
		}
		want += name + "\n"
	}
	if got := other.run(); got != want+"cfs\n0\n" {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTimeNamespace(t *testing.T) {
	asRoot(t)
	b := newBox(t, "cat /proc/self/timens_offsets; exec sleep 1000")
	b.set(specs.LinuxNamespace{Type: specs.TimeNamespace})
	b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 86400}, "monotonic": {Secs: 3, Nanosecs: 4}}
	c := b.start("box")
	b.prints("boottime")
	want := "monotonic 3 4 boottime 86400 0"
	if got := strings.Join(strings.Fields(b.printed()), " "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if s := b.exec(c, "cat /proc/self/timens_offsets"); s != 0 || strings.Count(b.printed(), "86400") != 2 {
		t.Errorf("status %d, printed %q", s, b.printed())
	}
}

func TestHostPids(t *testing.T) {
	asRoot(t)
	b := newBox(t, "readlink /proc/self/ns/pid; sleep 1000 & exec sleep 1000")
	l := b.spec.Linux
	l.Namespaces = l.Namespaces[1:] // the pid namespace
	c := b.start("box")
	want, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	b.prints(want)
	pids, err := c.Processes()
	if err != nil || len(pids) != 2 {
		t.Errorf("processes %v, %v", pids, err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	await(t, c, specs.StateStopped)
	if err := c.Delete(false); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if _, err := runtime.IdentifyProcess(pid); !errors.Is(err, runtime.ErrNotRunning) {
			t.Errorf("process %d is left: %v", pid, err)
		}
	}
}

func TestPriorities(t *testing.T) {
	asRoot(t)
	b := newBox(t, "uname -m; cut -d' ' -f19,41 /proc/self/stat")
	b.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	b.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
	b.spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	out := b.run()
	machine := unix.ByteSliceToString(u.Machine[:])
	if !strings.HasSuffix(out, "\n5 3\n") || machine == "x86_64" && !strings.HasPrefix(out, "i686\n") {
		t.Errorf("printed %q", out)
	}
}

// Files that are another user's on the host are root's in the container.
func TestMappedMount(t *testing.T) {
	asRoot(t)
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "sub"} {
		if err := os.Chown(filepath.Join(dir, name), 5000, 5000); err != nil {
			t.Fatal(err)
		}
	}
	b := newBox(t, "stat -c %u:%g /data/sub; mkdir /data/made")
	ids := []specs.LinuxIDMapping{{ContainerID: 5000, HostID: 0, Size: 10}}
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/data", Source: dir, Type: "bind", Options: []string{"bind", "rw"}, UIDMappings: ids, GIDMappings: ids})
	if out := b.run(); out != "0:0\n" {
		t.Errorf("printed %q", out)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "made"), &st); err != nil || st.Uid != 5000 {
		t.Errorf("made by %d, %v", st.Uid, err)
	}
	// The container's own mappings.
	b = newBox(t, "stat -c %u:%g /data/sub")
	b.mapUsers(200000)
	if err := os.Mkdir(filepath.Join(b.spec.Root.Path, "data"), 0o755); err != nil {
		t.Fatal(err) // nobody of the container could
	}
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/data", Source: dir, Options: []string{"bind", "idmap"}})
	if out := b.run(); out != "5000:5000\n" {
		t.Errorf("printed %q", out)
	}
}

func TestCopyUp(t *testing.T) {
	asRoot(t)
	b := newBox(t, "cat /home/alice/a/b; readlink /home/alice/l; echo x >/home/alice/new; stat -c %a /home/alice/a")
	root := b.spec.Root.Path
	for _, err := range []error{
		os.MkdirAll(root+"/home/alice/a", 0o755), os.Chmod(root+"/home/alice/a", 0o711),
		os.WriteFile(root+"/home/alice/a/b", []byte("copied\n"), 0o644), os.Symlink("/etc/passwd", root+"/home/alice/l"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/home/alice", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
	if out := b.run(); out != "copied\n/etc/passwd\n711\n" {
		t.Errorf("printed %q", out)
	}
	if _, err := os.Stat(root + "/home/alice/new"); err == nil {
		t.Error("what was written went to the root")
	}
}

// Cgroups as root of this machine may have them: limits that hold, the freezer, a view
// that ends at the container.
func TestCgroups(t *testing.T) {
	asRoot(t)
	limit, pids := int64(64<<20), int64(50)
	b := newBox(t, "find /sys/fs/cgroup -name memory.limit_in_bytes -o -name memory.max | xargs cat; echo seen; exec sleep 1000")
	b.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, Pids: &specs.LinuxPids{Limit: &pids}}
	b.spec.Linux.CgroupsPath = "/cfs-test-oci/box"
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}})
	c := b.start("box")
	t.Cleanup(func() {
		dirs, _ := filepath.Glob("/sys/fs/cgroup/*/cfs-test-oci")
		for _, d := range append(dirs, "/sys/fs/cgroup/cfs-test-oci") {
			_ = unix.Rmdir(d)
		}
	})
	b.prints("seen")
	if got := b.printed(); got != "67108864\nseen\n" {
		t.Errorf("printed %q", got)
	}
	if s := b.exec(c, "touch /sys/fs/cgroup/x 2>/dev/null; echo $?"); s != 0 || !strings.HasSuffix(b.printed(), "seen\n1\n") {
		t.Errorf("printed %q", b.printed())
	}
	for _, step := range []struct {
		do   func() error
		want specs.ContainerState
	}{{c.Pause, oci.StatusPaused}, {c.Resume, specs.StateRunning}} {
		if err := step.do(); err != nil || c.Status() != step.want {
			t.Errorf("%v: %s, want %s", err, c.Status(), step.want)
		}
	}
	if err := c.Resume(); err == nil {
		t.Error("resumed what is not paused")
	}
	more := int64(80 << 20)
	if err := c.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &more}}); err != nil {
		t.Fatal(err)
	}
	if s := b.exec(c, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max"); s != 0 || !strings.Contains(b.printed(), "83886080\n") {
		t.Errorf("printed %q", b.printed())
	}
	// Two containers in one group would die together.
	other := newBox(t, "true")
	other.spec.Linux.CgroupsPath = b.spec.Linux.CgroupsPath
	for _, path := range []string{b.spec.Linux.CgroupsPath, "/", "/x/.."} {
		other.spec.Linux.CgroupsPath = path
		if _, _, err := other.Create(t.Context(), other.options("other")); err == nil || !strings.Contains(err.Error(), "cgroup") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(true); err != nil { // frozen, too
		t.Fatal(err)
	}
}

// Without a mount namespace the root is mounted in the host's, and gone with the container.
func TestHostMounts(t *testing.T) {
	asRoot(t)
	want, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"readlink /proc/self/ns/mnt; ls /", "nosuch"} {
		b := newBox(t, line)
		if line == "nosuch" {
			b.spec.Process.Args = []string{line}
		}
		var kept []specs.LinuxNamespace
		for _, n := range b.spec.Linux.Namespaces {
			if n.Type != specs.MountNamespace {
				kept = append(kept, n)
			}
		}
		b.spec.Linux.Namespaces = kept
		root := b.spec.Root.Path
		if line == "nosuch" {
			if _, _, err := b.Create(t.Context(), b.options("box")); !errors.Is(err, runtime.ErrNotFound) {
				t.Error(err)
			}
		} else if got := b.run(); !strings.HasPrefix(got, want+"\nbin\n") {
			t.Errorf("printed %q", got)
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(mounts), " "+root) {
			t.Errorf("%s is left mounted", root)
		}
	}
}

// linux.memoryPolicy is the command's, as /proc shows it, and what it runs has it too.
func TestMemoryPolicy(t *testing.T) {
	asRoot(t)
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		t.Skip("SKIPPED: the kernel has no NUMA: ", err)
	}
	for want, p := range map[string]specs.LinuxMemoryPolicy{
		"bind:0":              {Mode: specs.MpolBind, Nodes: "0"},
		"interleave=static:0": {Mode: specs.MpolInterleave, Nodes: "0-0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}},
		"local":               {Mode: specs.MpolLocal},
		"default":             {Mode: specs.MpolDefault},
	} {
		b := newBox(t, "while read a policy b; do echo $policy; done </proc/self/numa_maps | sort -u")
		b.spec.Linux.MemoryPolicy = &p
		if got := b.run(); got != want+"\n" {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
	for text, p := range map[string]specs.LinuxMemoryPolicy{
		`mode "MPOL_NONSENSE"`:                         {Mode: "MPOL_NONSENSE"},
		`flags "MPOL_F_NONSENSE"`:                      {Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{"MPOL_F_NONSENSE"}},
		`nodes "3-1"`:                                  {Mode: specs.MpolBind, Nodes: "3-1"},
		`nodes "1024"`:                                 {Mode: specs.MpolBind, Nodes: "1024"},
		`nodes "0,"`:                                   {Mode: specs.MpolBind, Nodes: "0,"},
		"linux.memoryPolicy: invalid argument":         {Mode: specs.MpolBind},
		"linux.memoryPolicy: invalid argument (local)": {Mode: specs.MpolLocal, Nodes: "0"},
	} {
		b := newBox(t, "true")
		b.spec.Linux.MemoryPolicy = &p
		_, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")})
		if text, _, _ = strings.Cut(text, " (local)"); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %q", p, err, text)
		}
	}
}
