package background

import (
	"runtime/debug"
	"time"

	"github.com/cfs-project/cfs/internal/resident"
)

// Settle gives back, a little later, what starting has taken: the garbage, and the parts of
// the program that were in use. From then on garbage is collected as [Lean] has it. Of a process
// that waits for years in the background, and there may be hundreds, this is most of the memory.
// The timer is there to be reset when the process was busy again.
func Settle() *time.Timer {
	return time.AfterFunc(resident.SettleAfter, settle)
}

func settle() {
	collect(leanPercent)
	debug.FreeOSMemory()
	resident.ForgetProgram()
}
