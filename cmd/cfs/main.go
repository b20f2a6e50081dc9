package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/bench/contest"
	"github.com/cfs-project/cfs/imagecmd"
	"github.com/cfs-project/cfs/imagecmd/hello"
	"github.com/cfs-project/cfs/internal/background"
	"github.com/cfs-project/cfs/runtime"
)

// version is set by the linker.
var version = "unknown"

func main() {
	// A container's processes are this binary again, started as a stage.
	// So are the servers of mounts.
	becomeStage()
	os.Exit(run(os.Args, &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// becomeStage is what a process does that this program started itself as: it does not
// return from it.
func becomeStage() {
	stages := imagecmd.Stages()
	maps.Copy(stages, contest.Stages())
	runtime.Main(stages)
	background.Main(imagecmd.Servers())
	background.Main(unionServers())
	bench.Serve()
}

// run is the program: what it is depends on the name it was called by.
func run(args []string, t *terminal) int {
	name := filepath.Base(args[0])
	if name == hello.Name {
		return hello.Main(t.out)
	}
	var cmd *cobra.Command
	_, mounts := mountPrograms[name]
	switch {
	case mounts:
		cmd = newUnion(t, name)
	case runtimeNames[name]:
		cmd = newRuntime(t, name)
	default:
		cmd = called(t, args[1:])
	}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args[1:])
	cmd.SetOut(t.out)
	cmd.SetErr(t.err)
	return status(t, cmd.Execute())
}

// status says an error and turns it into the program's exit status.
func status(t *terminal, err error) int {
	if err == nil {
		err = t.lost
	}
	if err == nil {
		return 0
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			t.fail(exit.err)
		}
		return exit.status
	}
	t.fail(err)
	var usage *usageError
	if errors.As(err, &usage) {
		return statusUsage
	}
	return statusFailed
}
