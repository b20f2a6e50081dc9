package devicemapper

import (
	"path/filepath"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// recordName is the file in the directory of a base or a snapshot that says which device it has.
const recordName = "device.json"

// A record says which device is whose, and what there is on it.
type record struct {
	Device     uint32 `json:"device"` // number in the pool
	Size       int64  `json:"size"`   // bytes
	Filesystem string `json:"filesystem"`
	// Limit is what changes may take, in bytes, 0 without a bound; Image what was in use
	// on the device before there were any.
	Limit int64 `json:"limit,omitempty"`
	Image int64 `json:"image,omitempty"`
}

// readRecord reads the record in dir; the error wraps os.ErrNotExist if there is none.
func readRecord(dir string) (r record, err error) {
	err = sys.ReadJSON(filepath.Join(dir, recordName), &r)
	return r, err
}

func (r record) write(dir string) error { return sys.WriteJSON(filepath.Join(dir, recordName), r) }
