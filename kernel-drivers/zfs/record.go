package zfs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"path/filepath"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// recordName is the file in the directory of a base or a snapshot that says which dataset it has.
const recordName = "dataset.json"

// A record says which dataset is whose.
type record struct {
	Dataset string `json:"dataset"` // its whole name, e.g. tank/cfs/cfs-5f0c…
}

// snapshot is what clones of a base are made of.
func (r record) snapshot() string { return r.Dataset + "@base" }

// readRecord reads the record in dir; the error wraps os.ErrNotExist if there is none.
func readRecord(dir string) (r record, err error) {
	err = sys.ReadJSON(filepath.Join(dir, recordName), &r)
	return r, err
}

// claim is the record in dir, which names a dataset in parent that nobody has. One that a
// killed process wrote is kept; what it names was not made.
func claim(dir, parent string) (record, error) {
	r, err := readRecord(dir)
	if err == nil && path.Dir(r.Dataset) == parent || err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, err
	}
	var name [16]byte
	rand.Read(name[:])
	r.Dataset = path.Join(parent, namePrefix+hex.EncodeToString(name[:]))
	return r, sys.WriteJSON(filepath.Join(dir, recordName), r)
}

// namePrefix is what names of datasets begin with.
const namePrefix = "cfs-"

// properties of every dataset: it is mounted by mount(2) alone, and programs that take snapshots of
// all there is leave it out.
var properties = []string{"-o", "mountpoint=legacy", "-o", "com.sun:auto-snapshot=false"}

// empty makes an empty dataset, and its record in dir.
func (d *Driver) empty(ctx context.Context, dir string) error {
	parent, err := d.parent()
	if err != nil {
		return err
	}
	r, err := claim(dir, parent)
	if err != nil {
		return err
	}
	d.at("claimed")
	_, err = run(ctx, append(append([]string{"create"}, properties...), r.Dataset)...)
	d.at("made")
	return err
}

// cloneOf makes a clone of the base that from has the record of, beside it, and its record in dir.
func (d *Driver) cloneOf(ctx context.Context, from, dir string) error {
	of, err := readRecord(from)
	if err != nil {
		return err
	}
	r, err := claim(dir, path.Dir(of.Dataset))
	if err != nil {
		return err
	}
	d.at("claimed")
	_, err = run(ctx, append(append([]string{"clone"}, properties...), of.snapshot(), r.Dataset)...)
	d.at("made")
	return err
}
