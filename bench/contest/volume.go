package contest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	units "github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/busy"
)

// A volume is a btrfs in a file, for the driver that needs one where the store is on
// something else.
type volume struct {
	dir  string
	note string
}

// volumeSizes are of the sparse file, in bytes.
const (
	leastVolume = 1 << 30
	mostVolume  = 32 << 30
)

// newVolume makes and mounts one in a directory. The file's name goes at once: what the
// loop device holds goes when it is unmounted.
func newVolume(ctx context.Context, in string) (_ *volume, err error) {
	mkfs, err := exec.LookPath("mkfs.btrfs")
	if err != nil {
		return nil, fmt.Errorf("there is no mkfs.btrfs to make a filesystem in a file with")
	}
	var st unix.Statfs_t
	if err := unix.Statfs(in, &st); err != nil {
		return nil, err
	}
	size := min(int64(st.Bavail)*st.Bsize/2, mostVolume)
	if size < leastVolume {
		return nil, fmt.Errorf("there is no room for a filesystem in a file of %s", units.BytesSize(leastVolume))
	}
	v := &volume{dir: filepath.Join(in, "btrfs")}
	if err := os.Mkdir(v.dir, 0o711); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(in, "btrfs.image"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	for _, argv := range [][]string{{mkfs, "-q", f.Name()}, {"mount", "-o", "loop", f.Name(), v.dir}} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", filepath.Base(argv[0]), err, strings.TrimSpace(string(out)))
		}
	}
	v.note = fmt.Sprintf("on btrfs in a file of %s on a loop device, as the store is not on btrfs", units.BytesSize(float64(size)))
	if device, err := exec.CommandContext(ctx, "findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", v.dir).Output(); err == nil {
		if exec.CommandContext(ctx, "losetup", "--direct-io=on", strings.TrimSpace(string(device))).Run() == nil {
			v.note += ", past the page cache"
		}
	}
	return v, nil
}

func (v *volume) close() error { return busy.Unmount(v.dir) }
