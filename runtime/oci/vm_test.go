//go:build vm

package oci_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Tests of what the kernel of .ci/vm has and others may lack: AppArmor, and cgroup v2 alone.

// process.apparmorProfile confines the container's process and those of exec; one that is not
// loaded is an error.
func TestAppArmor(t *testing.T) {
	asRoot(t)
	if b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || b[0] != 'Y' {
		t.Skip("SKIPPED: the kernel has no AppArmor")
	}
	load := exec.Command("apparmor_parser", "--replace", "--skip-cache")
	load.Stdin = strings.NewReader("profile cfs-test flags=(attach_disconnected, mediate_deleted) { file, capability, network, signal, unix, deny /proc/version r, }\n")
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err != nil {
		if err := unix.Mount("securityfs", "/sys/kernel/security", "securityfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("load a profile: %v %s", err, out)
	}
	const show = "cat /proc/self/attr/current; cat /proc/version >/dev/null 2>&1 || echo denied"
	for _, nnp := range []bool{false, true} {
		b := newBox(t, show+"; echo up; exec sleep 1000")
		b.spec.Process.ApparmorProfile, b.spec.Process.NoNewPrivileges = "cfs-test", nnp
		c := b.start("box")
		b.prints("up")
		if s := b.exec(c, show); s != 0 || b.printed() != "cfs-test (enforce)\ndenied\nup\ncfs-test (enforce)\ndenied\n" {
			t.Errorf("status %d, printed %q", s, b.printed())
		}
		if err := c.Delete(true); err != nil {
			t.Fatal(err)
		}
	}
	b := newBox(t, show)
	b.spec.Process.ApparmorProfile = "unconfined"
	if got := b.run(); got != "unconfined\n" {
		t.Errorf("printed %q", got)
	}
	b = newBox(t, show)
	b.spec.Process.ApparmorProfile = "nosuch"
	if _, _, err := b.Create(t.Context(), b.options("box")); err == nil || !strings.Contains(err.Error(), `no profile "nosuch" loaded`) {
		t.Errorf("a profile that is not loaded: %v", err)
	}
}

// Where the container may write to its cgroups they are its user's, but for its own limits.
func TestCgroupOwner(t *testing.T) {
	asRoot(t)
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		t.Skip("SKIPPED: the kernel has not the unified hierarchy alone")
	}
	for _, readonly := range []bool{false, true} {
		b := newBox(t, "cd /sys/fs/cgroup; stat -c %u . cgroup.procs pids.max; mkdir mine 2>/dev/null && echo made; echo 0 2>/dev/null >mine/cgroup.procs && echo moved; echo 7 2>/dev/null >pids.max && echo unlimited; exit 0")
		b.set(specs.LinuxNamespace{Type: specs.CgroupNamespace})
		b.spec.Process.User = specs.User{UID: 7, GID: 7}
		b.spec.Process.Capabilities = &specs.LinuxCapabilities{}
		limit := int64(50)
		b.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
		m := specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev"}}
		want := "7\n7\n0\nmade\nmoved\n"
		if readonly {
			m.Options, want = append(m.Options, "ro"), "0\n0\n0\n"
		}
		b.spec.Mounts = append(b.spec.Mounts, m)
		if got := b.run(); got != want {
			t.Errorf("read-only %v: printed %q, want %q", readonly, got, want)
		}
	}
}
