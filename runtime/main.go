package runtime

import (
	"os"

	"github.com/cfs-project/cfs/runtime/stage"
)

// initStage is argv[0] of the container's init.
const initStage = "cfs-init"

// A container waits for its init, which needs little of this program. So it leaves as soon as
// this package is initialized, and most of what the others prepare is never prepared:
// packages are initialized by import path, but after those that they import (The Go
// Programming Language Specification, "Program initialization").
func init() {
	if len(os.Args) > 0 && os.Args[0] == initStage {
		os.Exit(initMain())
	}
}

// Main must be the first statement of the program's main function. If this
// process is a stage, started by [stage.Start], it does that stage's
// work and never returns; otherwise it returns at once. The table holds the
// program's own stages. (The init that Run starts has left by then, see init.)
func Main(stages stage.Table) { stage.Main(stages) }
