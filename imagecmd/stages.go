package imagecmd

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// Stages are the processes that this program starts itself as, for
// [runtime.Main]: the monitor of a container, and those that do for an ordinary
// user what only the root of a user namespace may.
func Stages() stage.Table {
	return stage.Table{
		monitorStage: monitorMain,
		removeStage:  removeMain,
		pruneStage:   pruneMain,
		probeStage:   probeMain,
		sizeStage:    sizeMain,
		readStage:    readMain,
		migrateStage: migrateMain,
		applyStage:   applyMain,
		fillStage:    fillMain,
		copyStage:    copyMain,
		holdStage:    holdMain,
	}
}

// runStage runs a stage that only does something, and returns what it printed.
func runStage(m userns.Mapping, name string, payload []byte) ([]byte, error) {
	out, err := memoryFile("out")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	said, err := memoryFile("err")
	if err != nil {
		return nil, err
	}
	defer said.Close()
	p, err := stage.Start(m, name, payload, stage.Stdio{Out: out, Err: said})
	if err != nil {
		return nil, err
	}
	status, err := p.Attend()
	if err == nil && status != 0 {
		var b []byte
		if b, err = readMemory(said); err == nil {
			err = errors.New(strings.TrimPrefix(strings.TrimSpace(string(b)), "cfs: "))
		}
	}
	if err != nil {
		return nil, err
	}
	return readMemory(out)
}

func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func readMemory(f *os.File) ([]byte, error) {
	var b bytes.Buffer
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	_, err := b.ReadFrom(f)
	return b.Bytes(), err
}

// stageStatus ends a stage that only does something: it says err, if there is one.
func stageStatus(err error) int {
	if err != nil {
		printError(os.Stderr, err)
		return runtime.StatusFailed
	}
	return 0
}
