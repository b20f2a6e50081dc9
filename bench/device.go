package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A device is the disk that a filesystem is on. What was read from it tells whether what
// is measured cold was cold: nothing that a cache holds is.
type device struct{ stat string } // its file in /sys; empty: there is none that counts

// deviceOf finds the one of the filesystem that a directory is on. Some (btrfs, those of
// several disks) have a number of their own: then it is what was mounted.
func deviceOf(dir string) device {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return device{}
	}
	if d := deviceNumber(st.Dev); d.counts() {
		return d
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return device{}
	}
	if err := unix.Stat(mountedFrom(mounts, st.Dev), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return device{}
	}
	return deviceNumber(st.Rdev)
}

func deviceNumber(dev uint64) device {
	return device{filepath.Join("/sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)), "stat")}
}

// mountedFrom is what the filesystem of a number was mounted from (proc_pid_mountinfo(5));
// empty if it is not there.
func mountedFrom(mountinfo []byte, dev uint64) string {
	number := fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))
	for s := bufio.NewScanner(bytes.NewReader(mountinfo)); s.Scan(); {
		left, right, ok := strings.Cut(s.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if ok && len(l) > 2 && len(r) > 1 && l[2] == number {
			return r[1]
		}
	}
	return ""
}

// counts tells whether what is read from it can be told.
func (d device) counts() bool {
	_, ok := d.read()
	return ok
}

// read is how many bytes were read from it since it is there, by anybody (the third
// number of Documentation/block/stat.rst, in sectors of 512 bytes).
func (d device) read() (int64, bool) {
	if d.stat == "" {
		return 0, false
	}
	b, err := os.ReadFile(d.stat)
	if err != nil {
		return 0, false
	}
	var ios, merges, sectors int64
	_, err = fmt.Sscan(string(b), &ios, &merges, &sectors)
	return sectors * 512, err == nil
}

// reads begins to count; what it returns gives the bytes since.
func (d device) reads() func() (int64, bool) {
	before, ok := d.read()
	return func() (int64, bool) {
		now, still := d.read()
		return now - before, ok && still
	}
}

// checkCold marks results of a line that can't have been cold: much less was read from the
// device than the line reads. Where the filesystem compresses, half is not yet suspect.
func (r *Report) checkCold(line string, reads int64, device map[string]Samples) {
	for name, s := range device {
		i, ok := r.index[key{line, name}]
		if !ok {
			continue
		}
		n := int64(s.Median())
		r.Results[i].FromDevice = &n
		r.Results[i].Cached = n < reads/2
	}
}
