package cowtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// rootlessEnv marks the process that [Rootless] started.
const rootlessEnv = "COWTEST_ROOTLESS"

// Rootless runs f, the rest of the calling test, as uid 0 of a new user and
// mount namespace that an ordinary user made who has no sub-uids: the test binary
// is started again there with this test selected. It skips t where namespaces can't
// be made. Started by root, the ordinary user is 65534, nobody.
//
// In the namespace os.TempDir is a directory of that user's. f may leave
// mounts behind; they end with the namespace.
func Rootless(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv(rootlessEnv) != "" {
		f(t)
		return
	}
	uid := os.Getuid()
	attr := &syscall.SysProcAttr{}
	dir, err := os.MkdirTemp("", "rootless")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("rm", "-rf", dir).CombinedOutput(); err != nil {
			t.Errorf("removing %s: %v: %s", dir, err, out)
		}
	})
	if uid == 0 {
		const gid = 65534
		uid = 65534
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// The binary is where only root may look; a copy is not.
	bin := filepath.Join(dir, "test")
	if err := copySelf(bin); err != nil {
		t.Fatalf("copying the test binary: %v", err)
	}
	// Two steps: first the ordinary user, who then makes the namespace, as
	// mapping one's own uid is all that needs no privilege.
	args := []string{"--user", "--map-root-user", "--mount", "--propagation", "private", "--", bin,
		"-test.run=^" + t.Name() + "$", "-test.timeout=300s"}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.Command("unshare", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), rootlessEnv+"=1", "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "unshare failed") {
		t.Skipf("an ordinary user can't make a user namespace here: %s", out)
	}
	t.Logf("as uid %d in a user namespace:\n%s", uid, out)
	if err != nil {
		t.Error(fmt.Errorf("rootless run: %w", err))
	}
}

// copySelf copies the binary of this process to a file that others may execute.
func copySelf(to string) error {
	in, err := os.Open("/proc/self/exe") // also where its path leads through others' directories
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(0o755), out.Close())
}
