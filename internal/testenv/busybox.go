package testenv

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BusyboxRoot makes a root file system with Debian's busybox-static, its applets as
// links in /bin, and the accounts root, alice (1000, home /home/alice, group users) and
// bob (1001), below a temporary directory. What exists is owned by the caller.
func BusyboxRoot(t testing.TB) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("SKIPPED: needs the package busybox-static: ", err)
	}
	root := filepath.Join(TempDir(t), "root")
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/alice", "usr/bin"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o1777))
	copyFile(t, busybox, filepath.Join(root, "bin/busybox"), 0o755)
	applets, err := exec.Command(busybox, "--list").Output()
	must(t, err)
	for _, a := range strings.Fields(string(applets)) {
		if a != "busybox" {
			must(t, os.Symlink("busybox", filepath.Join(root, "bin", a)))
		}
	}
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(
		"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte(
		"root:x:0:\ntty:x:5:\nusers:x:100:alice\naudio:x:29:alice,root\nalice:x:1000:\nbob:x:1001:\n"), 0o644))
	return root
}

// TempDir is t.TempDir, in memory where the machine has /dev/shm.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(memory(), "cfs-test-")
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove temporary directory: %v", err)
		}
	})
	return dir
}

// memory is the parent for temporary directories; "" is the system's.
func memory() string {
	const shm = "/dev/shm"
	if st, err := os.Stat(shm); err == nil && st.IsDir() {
		return shm
	}
	return ""
}

func copyFile(t testing.TB, from, to string, mode os.FileMode) {
	t.Helper()
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	must(t, err)
	_, err = io.Copy(out, in)
	must(t, err)
	must(t, out.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// untilString is the time left until d as a flag value, less a little for the report.
func untilString(d time.Time) string {
	return max(time.Until(d)-2*time.Second, time.Second).String()
}
