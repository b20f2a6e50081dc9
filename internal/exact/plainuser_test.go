package exact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// stageEnv tells a re-executed test binary which stage it is.
const stageEnv = "CFS_EXACT_STAGE"

// nobody is a user that every host has and that has no sub-uids.
const nobody = 65534

// A job is what a stage does for the plain user, with its arguments; what it
// writes is the test's.
type job func(args []string, out io.Writer) error

func TestMain(m *testing.M) {
	stage, spec, _ := strings.Cut(os.Getenv(stageEnv), ":")
	if stage == "" {
		code := m.Run()
		os.RemoveAll(binDir())
		os.Exit(code)
	}
	if err := runStage(stage, spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type jobSpec struct {
	Job  string
	User int
	Args []string
}

// runStage is the child. As "namespace" it is root in a mount namespace of its
// own, opens /dev/fuse to everyone there, and becomes the user by executing
// itself as "job".
func runStage(stage, spec string) error {
	var s jobSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	if stage == "job" {
		return jobs()[s.Job](s.Args, os.Stdout)
	}
	if err := openFuse(); err != nil {
		return fmt.Errorf("open /dev/fuse to everyone: %w", err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), stageEnv+"=job:"+spec)
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if s.User != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.User), Gid: uint32(s.User)}
	}
	return cmd.Run()
}

func openFuse() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fuse")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := unix.Mount("dev", dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	node := filepath.Join(dir, "fuse")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err != nil {
		return err
	}
	if err := os.Chmod(node, 0o666); err != nil {
		return err
	}
	if err := unix.Mount(node, "/dev/fuse", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Unmount(dir, unix.MNT_DETACH) // the bind mount keeps what it needs
}

// asUser runs a job in its own mount namespace as a user, and gives what it wrote.
func asUser(t *testing.T, user int, name string, args ...string) []byte {
	t.Helper()
	spec, err := json.Marshal(jobSpec{name, user, args})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), stageEnv+"=namespace:"+string(spec))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s as user %d: %v\n%s", name, user, err, talk.Bytes())
	}
	return out.Bytes()
}

// needRealMachine skips, loudly, where no FUSE mount of another user can be made.
func needRealMachine(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: the oracle is what tar makes as root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse on this host")
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		t.Skip("no fusermount3 on this host")
	}
}

// userDir is a directory of the plain user's that goes away with the test.
func userDir(t *testing.T) string {
	t.Helper()
	base := os.TempDir()
	if _, err := os.Stat("/dev/shm"); err == nil {
		base = "/dev/shm" // a store of this test is large and short-lived
	}
	dir, err := os.MkdirTemp(base, "cfs-exact-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return dir
}
