package devicemapper

import (
	"fmt"
	"strings"

	units "github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// usage is what a pool's status tells
// (Documentation/admin-guide/device-mapper/thin-provisioning.rst, "Status").
type usage struct {
	usedMetadata, metadata int64 // blocks of 4 KiB
	usedData, data         int64 // blocks of the pool
	mode                   string
	needsCheck             bool
}

// parseUsage reads "<transaction> <used>/<metadata> <used>/<data> <held root> <mode> … <needs_check> …".
func parseUsage(status string) (u usage, err error) {
	f := strings.Fields(status)
	if len(f) > 0 && (f[0] == "Fail" || f[0] == "Error") {
		u.mode = f[0]
		return u, nil
	}
	if len(f) < 5 {
		return u, fmt.Errorf("device mapper: a pool's status is %q", status)
	}
	if _, err = fmt.Sscanf(f[1]+" "+f[2], "%d/%d %d/%d", &u.usedMetadata, &u.metadata, &u.usedData, &u.data); err != nil {
		return u, fmt.Errorf("device mapper: a pool's status is %q: %w", status, err)
	}
	u.mode = f[4]
	for _, word := range f[5:] {
		u.needsCheck = u.needsCheck || word == "needs_check"
	}
	return u, nil
}

func (p *pool) usage() (usage, error) {
	t, err := p.control.Status(p.name)
	if err != nil {
		return usage{}, err
	}
	return parseUsage(t.Params)
}

// check fails if the pool's metadata can't be written to.
func (p *pool) check() error {
	u, err := p.usage()
	if err != nil {
		return err
	}
	if u.needsCheck || u.mode != "rw" && u.mode != "out_of_data_space" {
		where := p.options.MetadataDevice
		if where == "" {
			where = p.dir + "/" + metadataName
		}
		return &cow.Unusable{Driver: Name, Reason: "the pool takes no changes (" + u.mode + "): its metadata are full or damaged",
			Hint: "unmount what is on it, and as root: thin_check --clear-needs-check-flag " + where}
	}
	return nil
}

// ErrFull is wrapped by the error of making a device where the pool has less free than it should.
var ErrFull = fmt.Errorf("the pool is almost full: %w", unix.ENOSPC)

// checkRoom refuses to make another device in a pool that is almost full: what is
// on it already needs the room, as all of it may be written to.
func (p *pool) checkRoom() error {
	u, err := p.usage()
	if err != nil {
		return err
	}
	free, all, where, err := p.room(u)
	if err != nil {
		return err
	}
	least := all / 100 * int64(p.options.MinFree)
	if metadata := (u.metadata - u.usedMetadata) * 100; metadata < u.metadata*int64(p.options.MinFree) {
		return &full{fmt.Sprintf("the pool's metadata have %d of %d blocks free", u.metadata-u.usedMetadata, u.metadata)}
	}
	if free < least {
		return &full{fmt.Sprintf("%s has %s free, and %s is the least", where, units.BytesSize(float64(free)), units.BytesSize(float64(least)))}
	}
	return nil
}

// free is how much is free for data, in bytes.
func (p *pool) free() (int64, error) {
	u, err := p.usage()
	if err != nil {
		return 0, err
	}
	free, _, _, err := p.room(u)
	return free, err
}

// room is how much is free for data, and how much there could be at all, in bytes, and
// what bounds it.
func (p *pool) room(u usage) (free, all int64, where string, err error) {
	free, all, where = (u.data-u.usedData)*p.options.BlockSize, u.data*p.options.BlockSize, "the pool"
	if p.options.DataDevice != "" {
		return free, all, where, nil
	}
	var st unix.Statfs_t
	if err := sys.Again(func() error { return unix.Statfs(p.dir, &st) }); err != nil {
		return 0, 0, "", fmt.Errorf("statfs %s: %w", p.dir, err)
	}
	// What the file of the pool lacks has to come from the filesystem.
	if there := int64(st.Bavail) * st.Bsize; there < free {
		free, where = there, "the filesystem of "+p.dir
	}
	return free, min(all, int64(st.Blocks)*st.Bsize), where, nil
}

// full is ErrFull with what is left.
type full struct{ what string }

func (f *full) Error() string { return "devicemapper: " + f.what }
func (f *full) Unwrap() error { return ErrFull }
func (f *full) HintText() string {
	return "remove containers, make the pool larger (cfs driver set devicemapper dm.loopdatasize=…), or set dm.min_free_space"
}
