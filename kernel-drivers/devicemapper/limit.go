package devicemapper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Limit implements cow.Limiter for devices with ext4, which reserves what is free on the
// device and more than size; a device with less grows. What is on the device already
// is the image's: to write over it takes blocks of the pool, but none of size.
func (d *Driver) Limit(ctx context.Context, s cow.Snapshot, size int64) error {
	err := d.limit(ctx, filepath.Join(s.Dir, volumeName), size)
	var u *cow.Unusable
	if err == nil || errors.As(err, &u) {
		return err
	}
	return fmt.Errorf("limit %s to %d bytes: %w", s.Dir, size, err)
}

func (d *Driver) limit(ctx context.Context, dir string, size int64) error {
	r, err := readRecord(dir)
	if err != nil {
		return err
	}
	if r.Filesystem != "ext4" {
		return &cow.Unusable{Driver: Name, Reason: "only ext4 reserves blocks for a limit, and this pool has " + r.Filesystem,
			Hint: "use dm.fs=ext4, or no size"}
	}
	v, err := d.volume(ctx, dir, false, 0)
	if err != nil {
		return err
	}
	defer v.Close()
	st, err := v.statfs()
	if err != nil {
		return err
	}
	if r.Limit == 0 {
		r.Image = int64(st.Blocks-st.Bfree) * st.Bsize
	}
	r.Limit = size
	if lacks := r.Image + size + ownReserve*st.Bsize - int64(st.Blocks)*st.Bsize; size > 0 && lacks > 0 {
		if err := v.reserve(record{}); err != nil { // it may take blocks to grow
			return err
		}
		if err := d.enlarge(ctx, v, dir, &r, lacks); err != nil {
			return err
		}
	}
	if err := r.write(dir); err != nil {
		return err
	}
	return v.reserve(r)
}

// ownReserve is what ext4 reserves at most if nobody asks for more, in blocks
// (ext4_set_resv_clusters in fs/ext4/super.c).
const ownReserve = 4096

// slack is what the pool has to have free for what no one counts: the journal, and what is
// written over blocks of the image. In bytes.
const slack = 32 << 20

// reserve has the mounted filesystem keep so much free that what is written to it
// exceeds neither the limit of r nor what the pool has free. Not even root may
// use that (ext4_has_free_clusters). So who writes too much is told by the write itself; a
// filesystem that the pool refuses a block has no way to tell but to fail altogether.
func (v *volume) reserve(r record) error {
	st, err := v.statfs()
	if err != nil {
		return err
	}
	blocks := int64(st.Blocks)
	keep := min(blocks/50, ownReserve)
	if room := v.room - min(slack, v.room/4); room/st.Bsize < int64(st.Bfree) {
		keep = max(keep, int64(st.Bfree)-room/st.Bsize)
	}
	if r.Limit > 0 {
		keep = max(keep, blocks-(r.Image+r.Limit+st.Bsize-1)/st.Bsize)
	}
	name := fmt.Sprintf("/sys/fs/ext4/dm-%d/reserved_clusters", v.info.Minor)
	err = os.WriteFile(name, []byte(strconv.FormatInt(min(keep, blocks-1), 10)), 0)
	if err != nil && r.Limit > 0 {
		return fmt.Errorf("reserve %d blocks: %w", keep, err)
	}
	return nil // where /sys can't be written to, the pool alone sets bounds
}

func (v *volume) statfs() (st unix.Statfs_t, err error) {
	err = sys.Again(func() error { return unix.Fstatfs(v.FD, &st) })
	if err != nil {
		return st, fmt.Errorf("statfs: %w", err)
	}
	return st, nil
}

// enlarge makes the device of r larger, and the filesystem on it, so that it has more
// bytes than it had. Killed before that has happened the device has room that the filesystem doesn't use.
func (d *Driver) enlarge(ctx context.Context, v *volume, dir string, r *record, more int64) error {
	const group = 128 << 20                                // of ext4's blocks: a smaller one at the end may not be used
	r.Size += (more + more/20 + group - 1) / group * group // with what the filesystem needs itself
	was := *r
	was.Limit = 0 // not before the filesystem has grown
	if err := was.write(dir); err != nil {
		return err
	}
	p, err := d.open(ctx)
	if err != nil {
		return err
	}
	device, _, err := p.activateThin(ctx, *r, false)
	p.close()
	if err != nil {
		return err
	}
	defer device.Close()
	d.at("enlarged")
	root, err := v.Open()
	if err != nil {
		return err
	}
	defer unix.Close(root)
	st, err := v.statfs()
	if err != nil {
		return err
	}
	const resize = 1<<30 | 8<<16 | 'f'<<8 | 16 // EXT4_IOC_RESIZE_FS
	blocks := uint64(r.Size / st.Bsize)
	if err := sys.Ioctl(root, resize, unsafe.Pointer(&blocks)); err != nil {
		return fmt.Errorf("grow ext4 to %d blocks: %w", blocks, err)
	}
	return nil
}
