package runtime

import (
	"os"

	"github.com/cfs-project/cfs/runtime/stage"
)

// initStage is argv[0] of the container's init.
const initStage = "cfs-init"

// Main must be the first statement of the program's main function. If this
// process is a stage, re-executed by Run or by [stage.Start], it does that stage's
// work and never returns; otherwise it returns at once. The table holds the
// program's own stages.
func Main(stages stage.Table) {
	if len(os.Args) > 0 && os.Args[0] == initStage {
		os.Exit(initMain())
	}
	stage.Main(stages)
}
