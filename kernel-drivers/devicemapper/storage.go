package devicemapper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/dm"
	"github.com/cfs-project/cfs/kernel-drivers/internal/loop"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Names in the pool's directory of the files that stand for disks.
const (
	dataName     = "data"
	metadataName = "metadata"
)

// makePool gives the pool's device its table.
func (p *pool) makePool() error {
	metadata, err := p.attach(metadataName, p.options.MetadataDevice, p.options.MetadataSize)
	if err != nil {
		return err
	}
	defer metadata.Close() // the pool has it open from now on
	data, err := p.attach(dataName, p.options.DataDevice, p.options.DataSize)
	if err != nil {
		return err
	}
	defer data.Close()
	if err := p.claim(metadata, data); err != nil {
		return err
	}
	size, err := deviceSize(data)
	if err != nil {
		return err
	}
	var devices []string
	for _, f := range []*os.File{metadata, data} {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return fmt.Errorf("stat %s: %w", f.Name(), err)
		}
		devices = append(devices, fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	}
	return p.control.Load(p.name, p.table(size, devices[0], devices[1]), false)
}

// table is that of a pool on two devices. A write for which there is no room fails at
// once: nobody here could make room while it waits. Blocks are not zeroed, as no
// filesystem reads what it has not written.
func (p *pool) table(size int64, metadata, data string) dm.Target {
	return dm.Target{
		Length: size / dm.Sector, Type: "thin-pool",
		Params: fmt.Sprintf("%s %s %d 0 2 skip_block_zeroing error_if_no_space", metadata, data, p.options.BlockSize/dm.Sector),
	}
}

// attach opens the disk that device names, or a file of a size as one.
func (p *pool) attach(name, device string, size int64) (*os.File, error) {
	if device != "" {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		if err := unused(f); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	file := filepath.Join(p.dir, name)
	if err := extend(file, size); err != nil {
		return nil, err
	}
	// A pool that is going may still write to it.
	if has, err := loop.Has(file); err != nil || has {
		return nil, errors.Join(err, fmt.Errorf("%s has a loop device: %w", file, unix.EBUSY))
	}
	return loop.Attach(file)
}

// unused fails if a disk is no disk, or if another device of the device mapper has it, as
// a pool that is going still may.
func unused(disk *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(disk.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return errors.Join(fmt.Errorf("%s is no block device", disk.Name()), err)
	}
	holders, err := os.ReadDir(fmt.Sprintf("/sys/dev/block/%d:%d/holders", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	if err == nil && len(holders) > 0 {
		err = fmt.Errorf("%s is in use by %s: %w", disk.Name(), holders[0].Name(), unix.EBUSY)
	}
	if errors.Is(err, os.ErrNotExist) { // a partition has none: the kernel will tell
		return nil
	}
	return err
}

// extend makes a file at least size bytes long. They take no room until they are written.
func extend(file string, size int64) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() >= size {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

func deviceSize(f *os.File) (int64, error) {
	n, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", f.Name(), err)
	}
	return n, nil
}

// claimedName is the file that says that what the pool is on is this pool's.
const claimedName = "claimed"

// claim looks whether there is something on the disks of a new pool, which it would
// overwrite.
func (p *pool) claim(devices ...*os.File) error {
	at := filepath.Join(p.dir, claimedName)
	if _, err := os.Lstat(at); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	const head = 1 << 20 // all that says what a disk holds is in there, but for copies
	for _, f := range devices {
		buf := make([]byte, head)
		n, err := f.ReadAt(buf, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", f.Name(), err)
		}
		if strings.Trim(string(buf[:n]), "\x00") != "" {
			return &cow.Unusable{Driver: Name, Reason: "there is something on " + f.Name() + ", which a pool would overwrite",
				Hint: "if it is not needed: blkdiscard -z --length 1MiB " + f.Name()}
		}
	}
	if err := os.WriteFile(at, nil, 0o600); err != nil {
		return err
	}
	return sys.SyncDir(p.dir)
}

// grow makes the pool as large as its data device is, or its file is to be.
func (p *pool) grow() error {
	table, err := p.control.Table(p.name)
	if err != nil {
		return err
	}
	f := strings.Fields(table.Params)
	if len(f) < 2 {
		return fmt.Errorf("device mapper: the table of %s is %q", p.name, table.Params)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(f[1], "%d:%d", &major, &minor); err != nil {
		return fmt.Errorf("device mapper: the table of %s is %q: %w", p.name, table.Params, err)
	}
	if p.options.DataDevice == "" && p.options.DataSize > table.Length*dm.Sector {
		if err := extend(filepath.Join(p.dir, dataName), p.options.DataSize); err != nil {
			return err
		}
		if err := loop.Grow(major, minor); err != nil {
			return err
		}
	}
	sectors, err := sysfsSectors(major, minor)
	if err != nil || sectors <= table.Length {
		return err
	}
	table.Length = sectors
	return p.reload(p.name, func() error { return p.control.Load(p.name, table, false) })
}

// sysfsSectors is the size of a block device.
func sysfsSectors(major, minor uint32) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/size", major, minor))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}
