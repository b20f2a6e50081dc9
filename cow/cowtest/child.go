package cowtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// childEnv tells a process started by a case what to do: a verb, a colon, and
// its argument.
const childEnv = "COWTEST_CHILD"

// childCommand is this test binary once more, at the test that called Run.
func (c *C) childCommand(verb, arg string) *exec.Cmd {
	c.Helper()
	self, err := os.Executable()
	c.must(err)
	cmd := exec.Command(self, "-test.run=^"+c.root+"$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childEnv+"="+verb+":"+arg, "TMPDIR="+c.TempDir())
	return cmd
}

// inChild does verb in a process of its own and waits for it.
func (c *C) inChild(verb, arg string) {
	c.Helper()
	if out, err := c.childCommand(verb, arg).CombinedOutput(); err != nil {
		c.Fatalf("%s in a child: %v\n%s", verb, err, out)
	}
}

// killedChild mounts the snapshot in another process, lets it write, and kills
// it in the middle.
func (c *C) killedChild() {
	c.Helper()
	target := mountPoint(c.T)
	spec, err := json.Marshal(heldSnapshot{c.snap, target})
	c.must(err)
	start := func(flags uintptr) (*exec.Cmd, *bufio.Scanner) {
		cmd := c.childCommand("hold", string(spec))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		c.must(err)
		if err := cmd.Start(); err != nil {
			if flags != 0 && errors.Is(err, syscall.EPERM) {
				return nil, nil
			}
			c.Fatal(err)
		}
		return cmd, bufio.NewScanner(out)
	}
	cmd, lines := start(syscall.CLONE_NEWNS)
	if cmd == nil {
		cmd, lines = start(0)
	}
	ready := false
	for !ready && lines.Scan() {
		ready = strings.HasSuffix(lines.Text(), "cowtest: writing")
	}
	if ready {
		c.must(cmd.Process.Kill())
	}
	cmd.Wait()
	if !ready {
		c.Fatal("the child ended before it wrote")
	}
	if mountLines(c, target) != nil {
		c.must(unmountByHand(target))
	}
}

type heldSnapshot struct {
	Snapshot cow.Snapshot
	Target   string
}

// child is what a process started by a case does in place of the suite.
func child(t *testing.T, h Harness, what string) {
	verb, arg, _ := strings.Cut(what, ":")
	var err error
	switch verb {
	case "mmap":
		err = writeMapped(arg)
	case "hold":
		err = hold(t, h, arg)
	case "change":
		err = change(arg)
	default:
		err = fmt.Errorf("%s=%q is not known", childEnv, what)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cowtest child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// writeMapped writes "mapped" at 5000 of the file through a shared mapping.
func writeMapped(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	mem, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	if string(mem[:4]) != "0123" {
		return fmt.Errorf("the mapping holds %q", mem[:4])
	}
	copy(mem[5000:], "mapped")
	if err := unix.Msync(mem, unix.MS_SYNC); err != nil {
		return err
	}
	return unix.Munmap(mem)
}

// hold mounts a snapshot and has another process change things in it until it
// is killed. The one that serves a userspace mount must not use it: killed in
// the middle of a request to itself it would wait for its own answer for ever.
func hold(t *testing.T, h Harness, spec string) error {
	var s heldSnapshot
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if _, err := h.New(t).Mount(context.Background(), s.Snapshot, s.Target, cow.MountOptions{}); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w := exec.Command(self, os.Args[1:]...)
	w.Env = append(os.Environ(), childEnv+"=change:"+s.Target)
	w.Stdout, w.Stderr = os.Stdout, os.Stderr
	w.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose end Pdeathsig would take for the parent's
	return w.Run()
}

// change makes and removes things below target until it is killed.
func change(target string) error {
	for i := range 2000 {
		dir := filepath.Join(target, fmt.Sprint("made", i))
		if err := os.MkdirAll(filepath.Join(dir, "locked"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "locked", "f"), []byte("data"), 0); err != nil {
			return err
		}
		if err := os.Chmod(filepath.Join(dir, "locked"), 0); err != nil {
			return err
		}
		if i == 0 {
			if err := os.RemoveAll(filepath.Join(target, "usr")); err != nil {
				return err
			}
		}
		if i == 3 {
			fmt.Println("\ncowtest: writing")
		}
	}
	return errors.New("nobody has killed this process")
}

// unmountByHand is what a person would do.
func unmountByHand(dir string) error {
	err := unix.Unmount(dir, 0)
	if errors.Is(err, unix.EPERM) {
		out, ferr := exec.Command("fusermount3", "-u", dir).CombinedOutput()
		if ferr == nil {
			return nil
		}
		return fmt.Errorf("umount: %w; fusermount3: %v: %s", err, ferr, out)
	}
	return err
}
