package background

import (
	"debug/elf"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SettleAfter is when what a process was busy with is over.
const SettleAfter = 2 * time.Second

// Settle gives back, a little later, what starting has taken: the garbage, and the parts of
// the program that were in use. The kernel keeps these in its cache, and the process gets
// those again that it comes to need. Of a process that waits for years in the background,
// and there may be hundreds, this is most of the memory. The timer is there to be reset when
// the process was busy again.
func Settle() *time.Timer {
	return time.AfterFunc(SettleAfter, func() {
		debug.FreeOSMemory()
		forgetProgram()
	})
}

// forgetProgram unmaps the pages of the program that are never written to. Where they
// are is told by its headers in memory, which need no /proc: a container's is not to be trusted.
func forgetProgram() {
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
