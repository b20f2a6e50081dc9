package overlay2

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

// In a mount namespace of its own, where nobody else mounts anything meanwhile.
func TestProbe(t *testing.T) {
	drivertest.NeedsRoot(t)
	const env = "OVERLAY2_PROBE_ALONE"
	if os.Getenv(env) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestProbe$", "-test.v")
		cmd.Env = append(os.Environ(), env+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestProbe ")) {
			t.Errorf("alone: %v\n%s", err, out)
		}
		return
	}
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(t.TempDir(), "not", "there")
	if err := New(home, nil).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Errorf("Probe changed the mounts:\n%s\n%s", before, after)
	}
	if _, err := os.Stat(filepath.Dir(home)); err == nil {
		t.Error("Probe made its home")
	}
}

func TestProbeNamesUnfitFilesystems(t *testing.T) {
	drivertest.NeedsRoot(t)
	target := t.TempDir()
	d := New(t.TempDir(), nil)
	m, err := d.Mount(t.Context(), cow.Snapshot{Base: packChain(t)}, target, cow.MountOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Unmount()
	for home, want := range map[string]string{target: "overlayfs itself", "/proc/1": "nothing can be made"} {
		var u *cow.Unusable
		if err := New(home, nil).Probe(t.Context()); !errors.As(err, &u) || u.Driver != Name || !strings.Contains(u.Reason, want) {
			t.Errorf("a home on %s: %v, want %q", home, err, want)
		}
	}
}

func TestProbeRootless(t *testing.T) {
	cowtest.Rootless(t, func(t *testing.T) {
		if err := New(t.TempDir(), nil).Probe(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// An ordinary user who is in no namespace of his own may mount nothing.
func TestProbeWithoutPrivilege(t *testing.T) {
	const env = "OVERLAY2_PROBE"
	if os.Getenv(env) != "" {
		var u *cow.Unusable
		if err := New("/tmp", nil).Probe(t.Context()); !errors.As(err, &u) || u.Hint == "" {
			t.Errorf("Probe says %v, with hint: %t", err, u != nil && u.Hint != "")
		} else {
			t.Logf("%s; hint: %s", u.Reason, u.Hint)
		}
		return
	}
	drivertest.NeedsRoot(t)
	bin := filepath.Join(t.TempDir(), "test")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("install", "-m", "755", self, bin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// t.TempDir's own directory and the one of the test around it.
	for _, dir := range []string{filepath.Dir(bin), filepath.Dir(filepath.Dir(bin))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bin, "-test.run=^TestProbeWithoutPrivilege$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), env+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as nobody: %v", err)
	}
	t.Logf("%s", out)
}
