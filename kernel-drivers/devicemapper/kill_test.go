package devicemapper

import (
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

func mortal(home string, at func(string)) cow.Driver {
	d := New(home, nil)
	d.at = at
	return d
}

// kills kills a process at every step, and in every verb, which leaves nothing in the pool.
func kills(t *testing.T) {
	home := newHome(t, small("256M"))
	chain := drivertest.Chain(t, cowtest.Layer{cowtest.File("a", "a")}, cowtest.Layer{cowtest.File("b", "b")})
	d := New(home, nil)
	prune := func() {
		if err := d.Prune(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	// What was made for the image stays, unless that is what is being made.
	alone := func(step string) bool {
		verb, what, _ := strings.Cut(step, "/")
		return verb == "prune" || what == "formatted" || what == "filled" || what == "recorded"
	}
	var kept int64
	drivertest.Deaths{
		New: mortal, Home: home, Chain: chain,
		Limit: 1 << 30, // more than it has: it grows
		Steps: func(all []string) []string { // also what is done by several verbs takes its time
			bases, err := d.Base(t.Context(), chain.Layers)
			if err != nil {
				t.Fatal(err)
			}
			bases.Release()
			kept = used(t, d)
			var steps []string
			seen := map[string]bool{}
			for _, step := range all {
				verb, what, _ := strings.Cut(step, "/")
				if !seen[what] || !seen[verb] {
					steps = append(steps, step)
				}
				seen[what], seen[verb] = true, true
			}
			return steps
		},
		Before: func(step string) {
			if alone(step) {
				prune()
			}
		},
		After: func(step string) {
			if alone(step) {
				prune()
			}
			if n := used(t, d); n != 0 && (alone(step) || n != kept) { // killed after the bases were pruned, none
				t.Errorf("killed at %s: %d blocks are used, %d before", step, n, kept)
			}
		},
	}.Run(t)
	prune()
	if n := used(t, d); n != 0 {
		t.Errorf("%d blocks are used when all was removed", n)
	}
}
