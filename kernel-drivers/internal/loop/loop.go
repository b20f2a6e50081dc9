// Package loop makes block devices of files (loop(4)), which go when the last who
// has them open closes them.
//
//	file ──Attach──► /dev/loopN, open ──a device of the device mapper, a mount──► kept
//	                      └─closed, by anyone's end ──► free again
package loop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// tries is how often a free device is asked for, as another process may take it.
const tries = 200

// Attach makes a block device of a file, which it opens. The device is the
// caller's to close, and free again when nobody else has it open either.
func Attach(file string) (*os.File, error) {
	backing, err := os.OpenFile(file, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for range tries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := os.OpenFile("/dev/loop"+strconv.Itoa(n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		copy(config.Info.File_name[:len(config.Info.File_name)-1], file) // for losetup(8)
		err = sys.Again(func() error { return unix.IoctlLoopConfigure(int(device.Fd()), &config) })
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("make %s of %s: %w", device.Name(), file, err)
		}
		time.Sleep(time.Millisecond)
	}
	return nil, fmt.Errorf("make a loop device of %s: %w", file, unix.EBUSY)
}

// Grow tells the device with a number (st_rdev) that its file has become larger.
func Grow(major, minor uint32) error {
	name, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor))
	if err != nil {
		return err
	}
	device, err := os.OpenFile("/dev/"+filepath.Base(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer device.Close()
	if _, err := unix.IoctlRetInt(int(device.Fd()), unix.LOOP_SET_CAPACITY); err != nil {
		return fmt.Errorf("grow %s: %w", device.Name(), err)
	}
	return nil
}

// Has tells whether there is a loop device of a file, also if it is about to go. What is
// written to two of one file may come in any order.
func Has(file string) (bool, error) {
	var st unix.Stat_t
	if err := sys.Again(func() error { return unix.Stat(file, &st) }); err != nil {
		return false, fmt.Errorf("stat %s: %w", file, err)
	}
	all, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return false, err
	}
	for _, name := range all {
		info, err := statusOf("/dev/" + filepath.Base(filepath.Dir(name)))
		switch {
		case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOENT): // it is gone
		case err != nil:
			return false, err
		case info.Device == st.Dev && info.Inode == st.Ino:
			return true, nil
		}
	}
	return false, nil
}

func statusOf(device string) (*unix.LoopInfo64, error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return unix.IoctlLoopGetStatus64(int(f.Fd()))
}
