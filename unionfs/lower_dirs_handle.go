package unionfs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// handle implements handled. What is mounted in a layer is none of it, as for
// the kernel's overlayfs.
func (d *dirsLower) handle(r lowerRef) (h kernelHandle, links uint64, err error) {
	id := d.filesystems()[d.layerOf(r)]
	err = d.with(r, func(p at) error {
		var st unix.Stat_t
		if err := p.stat(&st); err != nil {
			return err
		}
		links = uint64(st.Nlink)
		if links < 2 || st.Dev != id.dev {
			return nil
		}
		h, err = handleOf(p, id.uuid, false)
		if isErrno(err, unix.EOPNOTSUPP, unix.EOVERFLOW) {
			err = nil
		}
		return err
	})
	return h, links, err
}

// rootHandle implements handled.
func (d *dirsLower) rootHandle() (kernelHandle, error) {
	return handleOf(at{d.roots[0], ""}, d.filesystems()[0].uuid, false)
}

// handles implements handled.
func (d *dirsLower) handles() error {
	devs := make(map[fsUUID]uint64)
	for i, id := range d.filesystems() {
		if id.err != nil {
			return fmt.Errorf("the UUID of the filesystem of lower directory %s: %w", d.paths[i], id.err)
		}
		if _, err := handleOf(at{d.roots[i], ""}, id.uuid, false); err != nil {
			return fmt.Errorf("the filesystem of lower directory %s has no file handles: %w", d.paths[i], err)
		}
		if dev, ok := devs[id.uuid]; ok && dev != id.dev {
			return fmt.Errorf("the filesystem of lower directory %s has the UUID of another one: %w", d.paths[i], unix.EINVAL)
		}
		devs[id.uuid] = id.dev
	}
	return nil
}

// layerFS is the filesystem of a layer.
type layerFS struct {
	dev  uint64
	uuid fsUUID
	err  error // why the UUID is not known
}

// filesystems are those of the layers, asked for once.
func (d *dirsLower) filesystems() []layerFS {
	d.fsOnce.Do(func() {
		for _, fd := range d.roots {
			var st unix.Stat_t
			l := layerFS{}
			if l.err = unix.Fstat(fd, &st); l.err == nil {
				l.dev = st.Dev
				l.uuid, l.err = uuidOf(fd)
			}
			d.fs = append(d.fs, l)
		}
	})
	return d.fs
}

var _ handled = (*dirsLower)(nil)
