package drivers

import (
	"testing"

	"github.com/cfs-project/cfs/cow"
)

func TestList(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range List(t.TempDir(), nil) {
		if d.Name() == "" || seen[d.Name()] {
			t.Errorf("driver %q is listed twice, or has no name", d.Name())
		}
		seen[d.Name()] = true
	}
	if !seen["overlay2"] {
		t.Error("overlay2 is not listed")
	}
}

func TestRetired(t *testing.T) {
	for _, d := range List(t.TempDir(), nil) {
		if u := Retired(d.Name()); u != nil {
			t.Errorf("%s is listed, and retired: %v", d.Name(), u)
		}
	}
	for _, name := range []string{"overlay", "aufs"} {
		if u := Retired(name); u == nil || u.Driver != name || u.Hint == "" {
			t.Errorf("of %s is told %v", name, u)
		}
	}
}

func TestEveryDriverDescribesItself(t *testing.T) {
	for _, d := range List(t.TempDir(), nil) {
		about := cow.Describe(d)
		if about.Level == "" || about.Shared == "" || about.Backing == "" || about.CopyUp == "" || about.Notes == "" || about.ViewsOnly != (about.Dir == "") {
			t.Errorf("%s is described as %+v", d.Name(), about)
		}
	}
}
