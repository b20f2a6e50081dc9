package unionfs

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// privateDirs are the directories of a union of plain directories, opened by way
// of private clones of the mounts that they lie on (open_tree(2)), as the
// kernel's overlay has them (clone_private_mount): the mounts themselves stay
// free. When umount(2) of the union returns, the server has yet to hear of it and
// to close its descriptors, which takes it milliseconds; without a clone the
// lower's filesystem could be "busy" for so long. With one it can be unmounted
// at once, at any time; the filesystem is let go of when the server has ended.
//
// A clone is without what is mounted below, so a directory in which something is
// mounted is opened as it is; so is everything where the process may not mount:
// there an umount of a lower has to be asked again for those milliseconds.
type privateDirs struct {
	fds map[string]int // by the path given; O_PATH
}

// openPrivate opens those of the directories that it can. It never fails: what
// is missing, or not to be had this way, is left to open.
func openPrivate(o *Options) *privateDirs {
	p := &privateDirs{fds: make(map[string]int)}
	if priv, err := privileges(); err != nil || !priv.sysAdmin {
		return p
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return p
	}
	groups := make(map[uint64][]dirPlace) // by mount
	seen := make(map[string]bool)
	for _, list := range [][]string{{o.Upper, o.Work}, o.LowerDirs, o.DataDirs} {
		for _, path := range list {
			if path == "" || seen[path] {
				continue
			}
			seen[path] = true
			if d, mount, ok := placeOf(path, mounts); ok {
				d.pair = path == o.Upper || path == o.Work
				groups[mount] = append(groups[mount], d)
			}
		}
	}
	for _, dirs := range groups {
		// All of a mount by one clone, since nothing can be renamed from one to
		// another; the upper directory and its work directory in any case.
		var pair []dirPlace
		for _, d := range dirs {
			if d.pair {
				pair = append(pair, d)
			}
		}
		if len(pair) == 1 { // the other has something mounted below, or lies elsewhere
			dirs = without(dirs, pair[0])
			pair = nil
		}
		if p.clone(dirs) {
			continue
		}
		p.clone(pair)
		for _, d := range dirs {
			if !d.pair {
				p.clone([]dirPlace{d})
			}
		}
	}
	return p
}

// dirPlace is where a directory is.
type dirPlace struct {
	path string // as given
	real string // absolute, without symlinks
	st   unix.Stat_t
	pair bool // the upper or the work directory
}

func without(dirs []dirPlace, d dirPlace) []dirPlace {
	return keep(dirs, func(e dirPlace) bool { return e.path != d.path })
}

// placeOf finds a directory and the id of the mount that it lies on; false if
// it has to be opened as it is.
func placeOf(path string, mounts []*mountinfo.Info) (d dirPlace, mount uint64, ok bool) {
	fd, err := openDirPath(unix.AT_FDCWD, path)
	if err != nil {
		return d, 0, false
	}
	defer unix.Close(fd)
	var sx unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &sx) != nil || sx.Mask&unix.STATX_MNT_ID == 0 || unix.Fstat(fd, &d.st) != nil {
		return d, 0, false
	}
	d.path = path
	if d.real, err = os.Readlink((at{fd, ""}).path()); err != nil || !filepath.IsAbs(d.real) {
		return d, 0, false
	}
	for _, m := range mounts {
		if m.Mountpoint != d.real && below(m.Mountpoint, d.real) {
			return d, 0, false
		}
	}
	return d, sx.Mnt_id, true
}

// below tells whether a clean absolute path is dir or leads below it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// clone opens directories of one mount in one clone of it: all, or none.
func (p *privateDirs) clone(dirs []dirPlace) bool {
	if len(dirs) == 0 {
		return true
	}
	top := dirs[0].real
	for _, d := range dirs {
		for !below(d.real, top) {
			top = filepath.Dir(top)
		}
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, top, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return false // not our mount, one that must not be bound, or what is mounted in it is locked
	}
	defer unix.Close(tree) // the descriptors below keep the mount
	h := how(unix.O_PATH | unix.O_DIRECTORY)
	h.Resolve |= unix.RESOLVE_NO_XDEV
	fds := make([]int, 0, len(dirs))
	for _, d := range dirs {
		var fd int
		rel, err := filepath.Rel(top, d.real)
		if err == nil {
			fd, err = unix.Openat2(tree, rel, h)
		}
		if err == nil {
			fds = append(fds, fd)
			var st unix.Stat_t
			if err = unix.Fstat(fd, &st); err == nil && (st.Dev != d.st.Dev || st.Ino != d.st.Ino) {
				err = errMoved
			}
		}
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return false
		}
	}
	for i, d := range dirs {
		p.fds[d.path] = fds[i]
	}
	return true
}

// open returns a descriptor (O_PATH) of a directory, which the caller closes.
func (p *privateDirs) open(path string) (int, error) {
	if fd, ok := p.fds[path]; ok {
		return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	return openDirPath(unix.AT_FDCWD, path)
}

// close ends the use of open.
func (p *privateDirs) close() {
	for _, fd := range p.fds {
		unix.Close(fd)
	}
	p.fds = nil
}
