package userns

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Settle finishes, in the child, what [Mapping.Start] began: no thread holds an
// ambient or inheritable capability or a supplementary group of the host's, and mounts
// made on the host still appear but none made here goes back. (The child is uid 0
// already: the maps call the user so.) It must be called once, after the maps are
// written and before anything else.
func Settle() error {
	if ambient, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, unix.CAP_SYS_ADMIN, 0, 0); err == nil && ambient == 1 {
		if err := shed(); err != nil {
			return fmt.Errorf("enter user namespace: %w", err)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("enter mount namespace: make mounts slaves: %w", err)
	}
	return nil
}

// shed gives up what was only needed to come through execve with capabilities.
func shed() error {
	if !SetgroupsDenied() {
		if err := syscall.Setgroups(nil); err != nil {
			return fmt.Errorf("setgroups: %w", err)
		}
	}
	// An ambient capability lives only while it is inheritable, so this clears both.
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0); e != 0 {
		return fmt.Errorf("capset: %w", e)
	}
	return nil
}
