package unionfs

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// upperTag is set in the inode numbers, and in the identities, of what was born
// in the upper directory; those of a lower are below it.
const upperTag = 1 << 62

// upperDir is the writable directory in the format of the kernel's overlayfs,
// with its work directory on the same filesystem.
type upperDir struct {
	root     int    // O_PATH, the upper directory
	workdir  int    // O_PATH, the work directory as it was given
	work     int    // O_PATH, workdir/work: everything in it is rubbish at mount
	marks    string // namespace of the marks
	lowerID  string // tells this union's lower from others, see markOrigin
	override bool   // owner and mode may be kept in override_stat
	always   bool   // ... and are, also where the filesystem could hold them
	caps     bool   // this process may ignore permission bits
	volatile bool   // no fsync
	metacopy bool   // attributes of a lower file are copied without its data
	partial  bool   // its data is copied when and where it is written to
	euid     uint32
	egid     uint32

	seq atomic.Uint64 // names in work

	whiteMu sync.Mutex
	white   string // protected by whiteMu: name in work of a whiteout that others are linked to
}

// openUpper opens the two directories and empties what an earlier server left
// in the work directory.
func openUpper(dirs *privateDirs, o *Options, lowerID string) (*upperDir, error) {
	u := &upperDir{root: -1, workdir: -1, work: -1, lowerID: lowerID, volatile: o.Volatile}
	var err error
	if u.root, err = dirs.open(o.Upper); err != nil {
		return nil, fmt.Errorf("upper directory %s: %w", o.Upper, err)
	}
	defer func() {
		if err != nil {
			u.close()
		}
	}()
	if u.workdir, err = dirs.open(o.Work); err != nil {
		return nil, fmt.Errorf("work directory %s: %w", o.Work, err)
	}
	var wst, ust unix.Stat_t
	if err = unix.Fstat(u.workdir, &wst); err == nil {
		err = unix.Fstat(u.root, &ust)
	}
	if err != nil {
		return nil, fmt.Errorf("upper directory %s: %w", o.Upper, err)
	}
	if wst.Dev != ust.Dev {
		err = fmt.Errorf("work directory %s: not on the filesystem of the upper directory: %w", o.Work, unix.EXDEV)
		return nil, err
	}
	if err = unix.Mkdirat(u.workdir, "work", 0o700); err != nil && err != unix.EEXIST {
		return nil, fmt.Errorf("work directory %s: %w", o.Work, err)
	}
	if u.work, err = openDirPath(u.workdir, "work"); err != nil {
		return nil, fmt.Errorf("work directory %s: %w", filepath.Join(o.Work, "work"), err)
	}
	if err = clearDir(u.work); err != nil {
		return nil, fmt.Errorf("work directory %s: %w", filepath.Join(o.Work, "work"), err)
	}
	priv, err := privileges()
	if err != nil {
		return nil, err
	}
	u.caps = priv.caps
	u.euid, u.egid = uint32(unix.Geteuid()), uint32(unix.Getegid())
	u.override = o.Override == OverrideAlways || o.Override == OverrideAuto && !(priv.caps && priv.initUserns)
	u.always = o.Override == OverrideAlways
	if u.marks, err = o.marksNamespace(); err != nil {
		return nil, err
	}
	if !(o.NoMetacopy && o.NoPartial) && u.canBePartial(u.temp()) {
		u.metacopy, u.partial = !o.NoMetacopy, !o.NoPartial
	}
	return u, nil
}

func (u *upperDir) close() {
	if u.white != "" {
		_ = unix.Unlinkat(u.work, u.white, 0)
	}
	for _, fd := range []int{u.root, u.workdir, u.work} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// temp is a fresh name in the work directory.
func (u *upperDir) temp() at {
	return at{u.work, "#" + strconv.FormatUint(u.seq.Add(1), 16)}
}

// discard removes what is at a name of the work directory.
func (u *upperDir) discard(t at) {
	if unix.Unlinkat(t.dirfd, t.name, 0) == nil {
		return
	}
	if fd, err := openDirPath(t.dirfd, t.name); err == nil {
		_ = clearDir(fd)
		unix.Close(fd)
		_ = unix.Unlinkat(t.dirfd, t.name, unix.AT_REMOVEDIR)
	}
}

// openDirPath opens a directory with O_PATH, never through a symlink in the
// last place, except where the caller named a path of its own.
func openDirPath(dirfd int, name string) (int, error) {
	flags := unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	if dirfd != unix.AT_FDCWD {
		flags |= unix.O_NOFOLLOW
	}
	var fd int
	err := eintr(func() (err error) { fd, err = unix.Openat(dirfd, name, flags, 0); return err })
	return fd, err
}

// clearDir removes everything below a directory and nothing else: it follows
// no link and enters no other filesystem's mount by path.
func clearDir(dirfd int) error {
	names, err := readNames(dirfd)
	if err != nil {
		return err
	}
	for _, e := range names {
		err := unix.Unlinkat(dirfd, e.name, 0)
		if err == nil || err == unix.ENOENT {
			continue
		}
		fd, err := openDirPath(dirfd, e.name)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		// An ordinary user may have been left a directory without permissions.
		_ = at{fd, ""}.chmod(0o700)
		err = clearDir(fd)
		unix.Close(fd)
		if err != nil {
			return err
		}
		if err := unix.Unlinkat(dirfd, e.name, unix.AT_REMOVEDIR); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// lowerIdentity condenses what a lower is made of.
func lowerIdentity(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return shortHash(h.Sum(nil))
}
