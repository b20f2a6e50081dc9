package contest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// A place is the directory that a benchmark makes everything in, locked by it.
type place struct {
	dir     string
	lock    *os.File
	mapping userns.Mapping
	keeper  *stage.Process // removes it when this process is no more; nil: nobody does
}

// placesDir is where a store's places are.
func placesDir(root string) string { return filepath.Join(root, "bench") }

// newPlace makes one in the store at root, after removing what killed benchmarks left.
func newPlace(root string, m userns.Mapping) (*place, error) {
	all := placesDir(root)
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, err
	}
	if err := os.Mkdir(all, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	left, err := os.ReadDir(all)
	if err != nil {
		return nil, err
	}
	for _, e := range left {
		p := &place{dir: filepath.Join(all, e.Name()), mapping: m}
		if ok, err := p.take(); err != nil {
			return nil, err
		} else if !ok {
			continue // of one that runs
		}
		if err := p.remove(); err != nil {
			return nil, fmt.Errorf("remove what a killed benchmark left: %w", err)
		}
	}
	dir, err := os.MkdirTemp(all, "run-")
	if err != nil {
		return nil, err
	}
	// Servers of peers and packages may have to pass through it.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	p := &place{dir: dir, mapping: m}
	if ok, err := p.take(); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("lock %s", dir), err, os.Remove(dir))
	}
	if p.keeper, err = stage.Start(m, removeStage, []byte(dir), stage.Stdio{Err: os.Stderr}); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	p.keeper.Uncatch() // signals are this process's
	return p, nil
}

// take locks the place, unless somebody else has.
func (p *place) take() (bool, error) {
	f, err := os.Open(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return false, nil
		}
		return false, os.NewSyscallError("flock", err)
	}
	p.lock = f
	return true, nil
}

// remove removes the place, and the directory of places when it was the last.
func (p *place) remove() error {
	defer p.lock.Close()
	err := os.RemoveAll(p.dir)
	keeper := p.keeper
	if err != nil && keeper == nil && !p.mapping.Privileged() {
		// What sub-uids own, its user can remove only where he is root.
		keeper, err = stage.Start(p.mapping, removeStage, []byte(p.dir), stage.Stdio{Err: os.Stderr})
	}
	if keeper != nil {
		keeper.Signal(unix.SIGTERM)
		var status int
		if status, err = keeper.Wait(); err == nil && status != 0 {
			err = fmt.Errorf("%s can't be removed", p.dir)
		}
	}
	if err == nil {
		_ = os.Remove(filepath.Dir(p.dir)) // if no other benchmark runs
	}
	return err
}

// removeStage is argv[0] of the process that removes a place as the root of a user
// namespace, when it is told to, or when who started it was killed.
const removeStage = "cfs-bench-remove"

func removeMain(l *stage.Link, payload []byte) int {
	ctx, stop := l.Interruptible()
	defer stop()
	<-ctx.Done()
	dir := string(payload)
	err := os.RemoveAll(dir)
	if errors.Is(context.Cause(ctx), stage.ErrParentGone) {
		// What that has started ends now, too, and may still write.
		for range dying {
			time.Sleep(100 * time.Millisecond)
			err = os.RemoveAll(dir)
		}
		_ = os.Remove(filepath.Dir(dir)) // if no other benchmark runs
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cfs:", err)
		return 1
	}
	return 0
}

// dying is for how many tenths of a second processes of a killed benchmark may go on.
const dying = 20
