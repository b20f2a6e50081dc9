package unionfs

import "golang.org/x/sys/unix"

// clone implements [cloner].
func (d *dirsLower) clone(r lowerRef, dst int) error {
	fd, err := d.openLoc(r.obj.locs[0], unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := hasData(fd); err != nil {
		return err
	}
	return unix.IoctlFileClone(dst, fd)
}

var _ cloner = (*dirsLower)(nil)
