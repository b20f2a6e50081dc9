// Package resident is about what a process keeps in memory while it waits. It is apart from
// package background for a container's init, which leaves before runtime/debug is initialized.
package resident

import (
	"debug/elf"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SettleAfter is when what a process was busy with is over.
const SettleAfter = 2 * time.Second

// ForgetProgram unmaps the pages of the program that are never written to; the kernel keeps
// them in its cache, and the process gets those again that it comes to need. Where they are
// is told by its headers in memory, which need no /proc: a container's is not to be trusted.
func ForgetProgram() {
	aux, err := unix.Auxv()
	if err != nil {
		return
	}
	var at, size, count uintptr
	for _, a := range aux {
		switch a[0] { // elf.h, AT_*
		case 3:
			at = a[1]
		case 4:
			size = a[1]
		case 5:
			count = a[1]
		}
	}
	if at == 0 || size != unsafe.Sizeof(elf.Prog64{}) {
		return // of 32 bits
	}
	// AT_PHDR is an address in the program, which isn't Go's memory.
	headers := unsafe.Slice(*(**elf.Prog64)(unsafe.Pointer(&at)), count)
	var base uintptr
	for _, h := range headers {
		if elf.ProgType(h.Type) == elf.PT_PHDR {
			base = at - uintptr(h.Vaddr)
		}
	}
	page := uintptr(unix.Getpagesize())
	for _, h := range headers {
		if elf.ProgType(h.Type) != elf.PT_LOAD || elf.ProgFlag(h.Flags)&elf.PF_W != 0 {
			continue
		}
		// Whole pages only: the last one may be shared with what is written to.
		begin := (base + uintptr(h.Vaddr) + page - 1) &^ (page - 1)
		end := (base + uintptr(h.Vaddr) + uintptr(h.Filesz)) &^ (page - 1)
		if begin < end {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_DONTNEED)
		}
	}
}
