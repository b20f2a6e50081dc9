package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// stampPatience is how long Stamp waits for the clock of the filesystem, which
// ticks some hundred times a second. One that was set back stays behind for longer.
const stampPatience = 100 * time.Millisecond

// Stamp makes the file name, whose time of change is later than that of dir, the
// last thing that was made of a copy: whatever changes in the copy from now on
// has a time that is not earlier. Where that can't be had no file is left.
func Stamp(name, dir string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for end := time.Now().Add(stampPatience); ; time.Sleep(time.Millisecond) {
		if err := sys.Again(func() error { return unix.Futimes(int(f.Fd()), make([]unix.Timeval, 2)) }); err != nil {
			return fmt.Errorf("stamp %s: %w", name, err)
		}
		var made, last unix.Stat_t
		if err := sys.Again(func() error { return unix.Fstat(int(f.Fd()), &made) }); err != nil {
			return fmt.Errorf("stamp %s: %w", name, err)
		}
		if err := sys.Again(func() error { return unix.Lstat(dir, &last) }); err != nil {
			return fmt.Errorf("stamp %s: %w", name, err)
		}
		if earlier(last.Ctim, made.Ctim) {
			return f.Sync()
		}
		if time.Now().After(end) {
			return os.Remove(name)
		}
	}
}

// Touch gives dir, which stands for what is elsewhere, the time of now: that of the last change
// of all of it (see [Stamp]).
func Touch(dir string) error {
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, dir, now, 0); err != nil {
		return fmt.Errorf("touch %s: %w", dir, err)
	}
	return sys.SyncDir(filepath.Dir(dir))
}

// Unchanged is a [cow.Upper].Same by the file that Stamp made: it knows of all but
// directories whether they changed since. Without the file it knows of nothing.
func Unchanged(name string) (func(*unix.Stat_t) bool, error) {
	var made unix.Stat_t
	err := sys.Again(func() error { return unix.Lstat(name, &made) })
	if errors.Is(err, unix.ENOENT) {
		return func(*unix.Stat_t) bool { return false }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stat %s: %w", name, err)
	}
	return func(st *unix.Stat_t) bool {
		return st.Mode&unix.S_IFMT != unix.S_IFDIR && earlier(st.Ctim, made.Ctim)
	}, nil
}

func earlier(a, b unix.Timespec) bool { return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec }
