package zfs

import (
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

// mortal makes drivers that mount so.
func mortal(mount mounter) drivertest.Mortal {
	return func(home string, at func(string)) cow.Driver {
		d := New(home, nil)
		d.mount, d.at = mount, at
		return d
	}
}

// kills kills a process at every step, which leaves nothing in the pool.
func kills(t *testing.T, d *Driver) {
	drivertest.Deaths{
		New: mortal(d.mount), Home: d.Home,
		Chain: drivertest.Chain(t, cowtest.Layer{cowtest.File("a", "a")}),
		After: func(step string) {
			if err := d.Prune(t.Context(), nil); err != nil {
				t.Errorf("killed at %s, then prune: %v", step, err)
			}
			if n := count(t, d); n != 0 {
				t.Errorf("killed at %s: %d datasets are left", step, n)
			}
		},
	}.Run(t)
}
