package overlay2

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// attachOld makes the mount with mount(2), whose options all have to fit into one
// page. Every directory goes by the name of a descriptor, which is short, and has
// none of the characters that overlayfs would want escaped.
func (p *plan) attachOld(target string) error {
	var fds attach.Paths
	defer fds.Close()
	var opts []string
	for _, kv := range p.options {
		if kv[1] == "" {
			opts = append(opts, kv[0])
		} else {
			opts = append(opts, kv[0]+"="+kv[1])
		}
	}
	var lowers strings.Builder
	for i, dir := range append(slices.Clone(p.lowers), p.data...) {
		at, err := fds.Link(dir)
		if err != nil {
			return err
		}
		if i > 0 {
			lowers.WriteByte(':')
		}
		if i >= len(p.lowers) { // overlayfs.rst, "Data-only lower layers"
			lowers.WriteByte(':')
		}
		lowers.WriteString(at)
	}
	opts = append(opts, "lowerdir="+lowers.String())
	for _, kv := range [][2]string{{"upperdir", p.upper}, {"workdir", p.work}} {
		if kv[1] == "" {
			continue
		}
		at, err := fds.Link(kv[1])
		if err != nil {
			return err
		}
		opts = append(opts, kv[0]+"="+at)
	}
	data := strings.Join(opts, ",")
	if len(data) >= os.Getpagesize() {
		return fmt.Errorf("%d layers: the options have %d bytes, and this kernel takes %d (Linux 6.7 has no such bound)",
			len(p.lowers), len(data), os.Getpagesize()-1)
	}
	var flags uintptr
	for attr, flag := range map[int]uintptr{
		unix.MOUNT_ATTR_RDONLY: unix.MS_RDONLY, unix.MOUNT_ATTR_NOSUID: unix.MS_NOSUID, unix.MOUNT_ATTR_NODEV: unix.MS_NODEV,
	} {
		if p.attr&attr != 0 {
			flags |= flag
		}
	}
	if err := sys.Again(func() error { return unix.Mount(p.source, target, "overlay", flags, data) }); err != nil {
		return fmt.Errorf("mount with %s: %w", data, err)
	}
	return nil
}
