package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A User is in whose name a test runs.
type User string

// The users of EachUser.
const (
	Root   User = "root"
	Ranged User = "ranged" // an ordinary user with 65536 sub-uids and sub-gids
	Single User = "single" // an ordinary user with none
)

// ids of the ordinary users, otherwise unused.
var ids = map[User]int{Ranged: 54320, Single: 54321}

// First sub-id of Ranged, and how many it has.
const (
	SubFirst = 2_000_000
	SubCount = 65536
)

const (
	userStage = "testenv-user" // argv[0]: root, about to become a user
	testName  = "test"         // argv[0] of the test binary, once it is the user
	userVar   = "CFS_TESTENV_USER"
	dirVar    = "CFS_TESTENV_DIR"
)

// Main must be called first in TestMain. It returns in the process of a test.
func Main() {
	if len(os.Args) > 0 && os.Args[0] == userStage {
		fmt.Fprintln(os.Stderr, "testenv:", becomeUser())
		os.Exit(1)
	}
}

// Reexecuted tells whether this process is that of a test in another user's name,
// and not one that such a test has started.
func Reexecuted() bool { return os.Getenv(userVar) != "" && os.Args[0] == testName }

// EachUser runs f as a subtest named after each user. Needs root; as another user
// only the subtest of that user is run.
func EachUser(t *testing.T, f func(t *testing.T, who User)) {
	t.Helper()
	for _, who := range []User{Root, Ranged, Single} {
		AsUser(t, who, f)
	}
}

// AsUser runs f as a subtest named after the user, in the user's name. f's process is
// another one than the caller's unless the user is root.
func AsUser(t *testing.T, who User, f func(t *testing.T, who User)) {
	t.Helper()
	t.Run(string(who), func(t *testing.T) {
		if self := User(os.Getenv(userVar)); self != "" {
			if self == who {
				f(t, who)
			}
			return
		}
		if os.Getuid() != 0 {
			t.Skip("SKIPPED: needs root to become other users")
		}
		if who == Root {
			f(t, who)
			return
		}
		reexec(t, who)
	})
}

// reexec runs the current subtest, alone, in a process of the user.
func reexec(t *testing.T, who User) {
	dir, err := os.MkdirTemp(memory(), "cfs-testenv-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	tmp := filepath.Join(dir, "tmp")
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(tmp, 0o777), os.Chmod(tmp, 0o777)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	parts := strings.Split(t.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + p + "$"
	}
	args := []string{userStage, "-test.run=" + strings.Join(parts, "/"), "-test.count=1", "-test.v=true"}
	if d, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+untilString(d))
	}
	var out bytes.Buffer
	cmd := &exec.Cmd{
		Path:   "/proc/self/exe",
		Args:   args,
		Env:    append(os.Environ(), userVar+"="+string(who), dirVar+"="+dir, "TMPDIR="+tmp, "HOME="+tmp),
		Stdout: &out, Stderr: &out,
		SysProcAttr: &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS},
	}
	err = cmd.Run()
	if err == nil && !bytes.Contains(out.Bytes(), []byte("--- PASS: "+t.Name())) && !bytes.Contains(out.Bytes(), []byte("--- SKIP: "+t.Name())) {
		err = fmt.Errorf("the test was not run")
	}
	if err != nil {
		t.Errorf("as user %s: %v\n%s", who, err, &out)
	} else if testing.Verbose() {
		t.Logf("as user %s:\n%s", who, &out)
	}
	if bytes.Contains(out.Bytes(), []byte("--- SKIP: "+t.Name())) {
		t.Skip("SKIPPED as user ", who)
	}
}

// becomeUser runs as root in a mount namespace of its own: it puts the user into the
// machine's files, makes /dev/fuse everybody's, and executes the test binary as the user.
func becomeUser() error {
	who, dir := User(os.Getenv(userVar)), os.Getenv(dirVar)
	uid, ok := ids[who]
	if !ok {
		return fmt.Errorf("no user %q", who)
	}
	if err := fuseForAll(dir); err != nil {
		return err
	}
	name := "cfs-" + string(who)
	subs := ""
	if who == Ranged {
		subs = fmt.Sprintf("%s:%d:%d\n", name, SubFirst, SubCount)
	}
	for path, line := range map[string]string{
		"/etc/passwd": fmt.Sprintf("%s:x:%d:%d::/nonexistent:/bin/sh\n", name, uid, uid),
		"/etc/group":  fmt.Sprintf("%s:x:%d:\n", name, uid),
		"/etc/subuid": subs,
		"/etc/subgid": subs,
	} {
		if err := appended(dir, path, line); err != nil {
			return err
		}
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setresgid(uid, uid, uid); err != nil {
		return err
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return err
	}
	// Under another argv[0] this is the test binary as `go test` starts it.
	return syscall.Exec("/proc/self/exe", append([]string{testName}, os.Args[1:]...), os.Environ())
}

// appended puts a copy of a file of the machine with a line more over it.
func appended(dir, path, line string) error {
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if os.IsNotExist(err) {
		if line == "" {
			return nil
		}
		return fmt.Errorf("%s doesn't exist: nothing to mount over", path)
	}
	copied := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(copied, append(b, line...), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(copied, 0o644); err != nil {
		return err
	}
	if err := unix.Mount(copied, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount over %s: %w", path, err)
	}
	return nil
}

// fuseForAll puts a node with mode 0666 over /dev/fuse, if there is one.
func fuseForAll(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat("/dev/fuse", &st); err != nil {
		return nil
	}
	node := filepath.Join(dir, "fuse")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(st.Rdev)); err != nil {
		return fmt.Errorf("make node for /dev/fuse: %w", err)
	}
	if err := os.Chmod(node, 0o666); err != nil {
		return err
	}
	if err := unix.Mount(node, "/dev/fuse", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount over /dev/fuse: %w", err)
	}
	return nil
}

// UID is the user id of an ordinary user.
func (u User) UID() int { return ids[u] }

func (u User) String() string { return string(u) + "(" + strconv.Itoa(ids[u]) + ")" }
