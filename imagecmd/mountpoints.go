package imagecmd

import (
	"iter"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// What a container's root needs to be mounted on, and gets where the image has
// none: in Docker a layer of its own below the container's has them.
var (
	mountPointFiles = []string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}
	mountPointDirs  = []string{"/dev", "/etc", "/proc", "/sys"}
)

// maybeMountPoint tells whether an added path may be there only to be mounted on.
func maybeMountPoint(c cow.Change) bool {
	return c.Kind == cow.Added && (slices.Contains(mountPointFiles, c.Path) || slices.Contains(mountPointDirs, c.Path))
}

// withoutMountPoints leaves out of a container's change what running it put there
// to be mounted on: empty files in the place of the host's, and directories that
// hold nothing else.
func withoutMountPoints(entries iter.Seq2[cow.Entry, error]) iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) {
		var held *cow.Entry // a directory that may have to be left out
		left := false       // something in it was
		for e, err := range entries {
			if err != nil {
				yield(e, err)
				return
			}
			inside := held != nil && strings.HasPrefix(e.Path, held.Path+"/")
			if isMountPointFile(e) {
				left = left || inside
				continue
			}
			if held != nil && (inside || !onlyMountPoint(held, left)) && !yield(*held, nil) {
				return
			}
			held, left = nil, false
			if e.Attr.IsDir() && e.Kind != cow.Deleted && slices.Contains(mountPointDirs, e.Path) {
				held = &e
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
		if held != nil && !onlyMountPoint(held, left) {
			yield(*held, nil)
		}
	}
}

func isMountPointFile(e cow.Entry) bool {
	return e.Kind == cow.Added && e.Attr.Mode&unix.S_IFMT == unix.S_IFREG && e.Attr.Size == 0 && slices.Contains(mountPointFiles, e.Path)
}

// onlyMountPoint tells whether a directory in which nothing else has changed says
// nothing itself: it was made to be mounted on, or is listed for what was left
// out of it.
func onlyMountPoint(dir *cow.Entry, left bool) bool {
	if dir.Kind == cow.Added {
		return true
	}
	now, before := dir.Attr, dir.Before
	return left && len(dir.Xattrs) == 0 && now.Mode == before.Mode && now.UID == before.UID && now.GID == before.GID
}
