package store

import (
	"context"
	"testing"
	"time"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

// What came with its name was never tagged; what was keeps the time whatever becomes
// of the names, and also when it comes again.
func TestTagTime(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	img := it.Simple(t, "a")
	bring(st, t, img, nil, "a")
	tagged := func(name string) time.Time {
		t.Helper()
		img, err := st.Resolve(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := st.List(ctx)
		if err != nil || len(list) != 1 || !list[0].Tagged.Equal(img.Tagged) {
			t.Errorf("the list has %v, %v, and the image %v", list, err, img.Tagged)
		}
		return img.Tagged
	}
	if at := tagged("a"); !at.IsZero() {
		t.Errorf("tagged at %v by being brought", at)
	}
	before := time.Now()
	if err := st.Tag(ctx, "a", ref(t, "b")); err != nil {
		t.Fatal(err)
	}
	first := tagged("a")
	if first.Before(before) || first.After(time.Now()) {
		t.Errorf("tagged at %v, not since %v", first, before)
	}
	if _, err := st.Remove(ctx, "b", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	bring(st, t, img, nil, "a")
	bring(st, t, img, nil, "c")
	for _, name := range []string{"a", "c", string(img.ID())} {
		if at := tagged(name); !at.Equal(first) {
			t.Errorf("%s: tagged at %v, not %v", name, at, first)
		}
	}
	if err := st.Tag(ctx, "c", ref(t, "a")); err != nil {
		t.Fatal(err)
	}
	if at := tagged("c"); !at.After(first) {
		t.Errorf("tagged again at %v, after %v", at, first)
	}
}
