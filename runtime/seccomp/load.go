package seccomp

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Load puts the filter on the calling thread, which must be locked to its
// goroutine, for all that it does and starts from now on. It takes CAP_SYS_ADMIN in
// the thread's user namespace, or that it has no_new_privs. The listener is -1
// unless the filter notifies; the caller closes it.
func (f Filter) Load() (listener int, err error) {
	if len(f.Program) == 0 || len(f.Program) > maxInstructions {
		return -1, fmt.Errorf("seccomp: a filter of %d instructions", len(f.Program))
	}
	flags := f.Flags
	if f.Notifies {
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	prog := unix.SockFprog{Len: uint16(len(f.Program)), Filter: &f.Program[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, fmt.Errorf("load seccomp filter: %w", errno)
	}
	if f.Notifies {
		return int(fd), nil
	}
	return -1, nil
}
