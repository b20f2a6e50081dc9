package devicemapper

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

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
	err = readJSON(filepath.Join(dir, recordName), &r)
	return r, err
}

func (r record) write(dir string) error { return writeJSON(filepath.Join(dir, recordName), r) }

func readJSON(name string, v any) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// writeJSON replaces the file name, and has it on disk.
func writeJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(name, data, 0o600, renameio.WithTempDir(filepath.Dir(name))); err != nil {
		return err
	}
	return sys.SyncDir(filepath.Dir(name))
}
