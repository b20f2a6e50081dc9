package drivertest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Mounts tells whether this kernel mounts filesystems of a type with an option. It
// skips t where it can't be tried.
func Mounts(t testing.TB, fstype, option string) bool {
	t.Helper()
	NeedsRoot(t)
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	format(t, image, fstype, nil)
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("mount", "-t", fstype, "-o", "loop,"+option, image, at).Run(); err != nil {
		return false
	}
	if err := unix.Unmount(at, 0); err != nil {
		t.Fatal(err)
	}
	return true
}

// InVM runs the tests of this package that match a pattern in QEMU on Debian's kernel
// (.ci/vm), and fails t if they fail. It skips t where there is no such machine.
func InVM(t testing.TB, pattern string) {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skipf("SKIPPED: %v, so no other kernel can be asked", err)
	}
	pkg, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root := pkg
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == "/" {
			t.Fatal("the test runs outside of the project")
		}
		root = filepath.Dir(root)
	}
	rel, err := filepath.Rel(root, pkg)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(root, ".ci", "vm"), "./"+rel+":"+pattern).CombinedOutput()
	switch {
	case err == nil && bytes.Contains(out, []byte("--- PASS")):
	case !bytes.Contains(out, []byte("\n== ")): // the machine did not come up
		t.Skipf("SKIPPED: no virtual machine: %v: %s", err, out)
	default:
		t.Fatalf("in the virtual machine: %v: %s", err, out)
	}
}
