package userns

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Settle finishes, in the child, what [Mapping.Start] began: all threads
// become uid 0 and gid 0 with no supplementary groups, hold no ambient or inheritable
// capability, and mounts made on the host still appear but none made here goes back.
// It must be called once, after the maps are written and before anything else.
func Settle() error {
	if os.Getuid() != 0 || os.Getgid() != 0 {
		if err := syscall.Setgroups(nil); err != nil {
			return fmt.Errorf("enter user namespace: setgroups: %w", err)
		}
		if err := syscall.Setresgid(0, 0, 0); err != nil {
			return fmt.Errorf("enter user namespace: setgid: %w", err)
		}
		if err := syscall.Setresuid(0, 0, 0); err != nil {
			return fmt.Errorf("enter user namespace: setuid: %w", err)
		}
		// An ambient capability lives only while it is inheritable, so this clears both.
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&hdr, &data[0]); err != nil {
			return fmt.Errorf("enter user namespace: capget: %w", err)
		}
		data[0].Inheritable, data[1].Inheritable = 0, 0
		if _, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0); e != 0 {
			return fmt.Errorf("enter user namespace: capset: %w", e)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("enter mount namespace: make mounts slaves: %w", err)
	}
	return nil
}
