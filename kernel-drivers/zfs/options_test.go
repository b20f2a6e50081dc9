package zfs

import (
	"errors"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

func TestParentNames(t *testing.T) {
	d := New(t.TempDir(), nil)
	for name, ok := range map[string]bool{
		"tank": true, "tank/cfs": true, "tank/my data/cfs-1.0_x:y": true, "tank/0": true, strings.Repeat("t", maxParent): true,
		"/tank": false, "tank/": false, "tank//cfs": false, "tank@now": false, "tank/cfs@now": false, "tank#mark": false, "0tank": false,
		"-o": false, "tank/-r": false, "tank\nx": false, strings.Repeat("t", maxParent+1): false,
	} {
		if err := d.SetOptions(t.Context(), map[string]string{optParent: name}); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got, err := d.parent(); ok && (got != name || err != nil) {
			t.Errorf("parent is %q, %v, want %q", got, err, name)
		}
	}
}

func TestNoParent(t *testing.T) {
	d := New("/proc/none", nil)
	if got, err := d.parent(); !errors.Is(err, errNoParent) {
		t.Errorf("for a store on another filesystem: %q, %v", got, err)
	}
}

func TestProbe(t *testing.T) {
	if sys.ProbeFilesystem("zfs", "") == nil {
		t.Skip("SKIPPED: the kernel has zfs")
	}
	var u *cow.Unusable
	if err := New(t.TempDir(), nil).Probe(t.Context()); !errors.As(err, &u) || u.Driver != Name || !strings.Contains(u.Reason, "has no zfs") || !strings.Contains(u.Hint, "zfs-dkms") {
		t.Errorf("without the module: %v", err)
	}
}
