package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// isolatedVar marks the process that has a mount namespace of its own.
const isolatedVar = "CFS_TESTENV_ISOLATED"

// Isolate gives root's tests a mount namespace of their own; call it first in
// TestMain. Nobody who makes a namespace at the same time gets a copy of their
// mounts, which would keep a FUSE mount alive when it is unmounted, and its server
// waiting; and whatever a test that dies leaves mounted goes with the namespace.
//
// The flags are those of clone(2) for further namespaces; in a network namespace the
// loopback interface is up.
func Isolate(flags ...uintptr) {
	if os.Geteuid() != 0 {
		return
	}
	var err error
	if os.Getenv(isolatedVar) == "" {
		err = inNamespace(flags)
	} else {
		err = forgetMounts()
		if err == nil && slices.Contains(flags, unix.CLONE_NEWNET) {
			err = loopbackUp()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv: a mount namespace of one's own:", err)
		os.Exit(1)
	}
}

// inNamespace runs this program again in a namespace, and ends with it.
func inNamespace(flags []uintptr) error {
	runtime.LockOSThread() // the death signal is sent when this thread ends
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), isolatedVar+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	for _, f := range flags {
		cmd.SysProcAttr.Cloneflags |= f
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = cmd.Wait() // the state says it
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		os.Exit(code)
	}
	return fmt.Errorf("the tests: %v", cmd.ProcessState)
}

// forgetMounts takes this namespace's copies of other programs' FUSE mounts and
// loop devices away, so that they can be unmounted where they belong.
func forgetMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] == "/" || !strings.HasPrefix(f[2], "fuse.cfs") && !strings.HasPrefix(f[0], "/dev/loop") {
			continue
		}
		// The copy only, and one that a program may be working in where it belongs.
		_ = unix.Unmount(unescape.Replace(f[1]), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	return nil
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
