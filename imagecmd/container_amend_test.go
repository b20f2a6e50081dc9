package imagecmd

import (
	"errors"
	"os"
	"testing"
)

// Of two commands that change what is written down of a container neither takes back
// what the other has done.
func TestAmendKeepsWhatOthersHaveChanged(t *testing.T) {
	root := t.TempDir()
	cs := OpenContainers(root)
	made, err := cs.Create(Container{Name: "before"})
	if err != nil {
		t.Fatal(err)
	}
	made.close()
	moving, err := cs.Find("before") // as a migration has it, which takes a while
	if err != nil {
		t.Fatal(err)
	}
	if err := Rename(root, "before", "after"); err != nil {
		t.Fatal(err)
	}
	if err := moving.amend(func(c *Container) { c.Driver = "vfs" }); err != nil {
		t.Fatal(err)
	}
	got, err := cs.Find("after")
	if err != nil {
		t.Fatal(err)
	}
	if got.Driver != "vfs" || moving.Name != "after" {
		t.Errorf("driver %q, name %q", got.Driver, moving.Name)
	}
	// One that has gone is made anew by nobody.
	if err := os.RemoveAll(got.Dir()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"amend": got.amend(func(*Container) {}), "rewrite": got.rewrite(), "reread": got.reread(),
	} {
		if !errors.Is(err, ErrNoContainer) {
			t.Errorf("%s of a container that is gone: %v", what, err)
		}
	}
}
