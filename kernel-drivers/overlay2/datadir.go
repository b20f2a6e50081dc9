package overlay2

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/objects"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/whiteout"
)

// sharedData is the word for the group's own data-only lower in option datadir.
const sharedData = "shared"

// ownData is the directory of that, in the group.
const ownData = "objects"

// checkDataDir is the Check of option datadir.
func checkDataDir(value string) error {
	var seen []string
	for _, dir := range strings.Split(value, ":") {
		if slices.Contains(seen, dir) {
			return fmt.Errorf("%s is there twice", dir)
		}
		seen = append(seen, dir)
		if dir == sharedData {
			continue
		}
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("%q is neither %q nor an absolute path", dir, sharedData)
		}
		if st, err := os.Stat(dir); err != nil {
			return err
		} else if !st.IsDir() {
			return fmt.Errorf("%s is no directory", dir)
		}
	}
	return nil
}

// A dataOnly is where contents of files are that trees refer to, by option datadir.
type dataOnly struct {
	value    string // of the option; empty: trees have all contents
	store    objects.Store
	dialect  whiteout.Dialect
	metacopy bool // mounts follow such marks in other layers, too
}

func (d *Driver) dataOnly(group tree.Group, dialect whiteout.Dialect) (dataOnly, error) {
	o, err := d.settings()
	if err != nil || o.dataDir == "" {
		return dataOnly{}, err
	}
	data := dataOnly{value: o.dataDir, dialect: dialect, metacopy: o.redirect != "off" && o.metacopy != "off"}
	for _, dir := range strings.Split(o.dataDir, ":") {
		if dir == sharedData {
			data.store.Own = filepath.Join(group.Dir, ownData)
		} else {
			data.store.Dirs = append(data.store.Dirs, dir)
		}
	}
	return data, nil
}

// lowers are the data-only lowers of a mount, the one that is asked first at the top.
func (d dataOnly) lowers() []string {
	if d.store.Own == "" {
		return d.store.Dirs
	}
	return append([]string{d.store.Own}, d.store.Dirs...)
}

// merged is how many of the first of n layers are one tree, of which little is not shared: all, if
// it refers to data. Without metacopy=on the kernel takes references of the last lower only.
func (d dataOnly) merged(n int) int {
	if d.value == "" {
		return mergedLayers(n, mostLowers())
	}
	return n
}

// id is the name of the tree that is called whole when it has all contents itself.
func (d dataOnly) id(whole digest.Digest) digest.Digest {
	if d.value == "" {
		return whole
	}
	return digest.FromString("data in " + d.value + " of " + whole.String())
}

// usable tells why the kernel can't mount trees that refer to data (overlayfs.rst, "Data-only
// lower layers"). Before Linux 6.16 the marks are followed only where they are in upper layers,
// which userxattr forbids.
func (d dataOnly) usable() error {
	if d.value == "" {
		return nil
	}
	var reason string
	switch {
	case !sys.KernelIs(6, 5):
		reason = "the kernel has no data-only lowers: Linux 6.5 has"
	case sys.KernelIs(6, 16):
	case d.dialect == whiteout.User:
		reason = "the kernel allows it in the initial user namespace only: Linux 6.16 does in others"
	case !d.metacopy:
		reason = "it needs redirect_dir=on and metacopy=on: from Linux 6.16 on it doesn't"
	}
	for _, dir := range d.store.Dirs {
		if _, err := os.Stat(dir); err != nil && reason == "" {
			reason = err.Error()
		}
	}
	if reason == "" {
		return nil
	}
	return &cow.Unusable{Driver: Name, Reason: optDataDir + "=" + d.value + ": " + reason, Hint: "cfs driver set overlay2 " + optDataDir + "="}
}
