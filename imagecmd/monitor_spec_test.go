package imagecmd

import (
	"strings"
	"testing"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/userns"
)

// A profile that is kept for more than one specification is as it was for the first.
func TestMadeProfile(t *testing.T) {
	mapping, err := userns.Current()
	if err != nil {
		t.Fatal(err)
	}
	m := &monitor{c: &Container{ID: strings.Repeat("a", 64)}}
	first := 0
	for range 3 {
		spec := runtime.DefaultSpec(runtime.SpecOptions{Args: []string{"true"}, Mapping: mapping})
		if err := m.confine(spec, mapping); err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = len(spec.Linux.Seccomp.Syscalls)
		}
		if n := len(spec.Linux.Seccomp.Syscalls); n != first || n == 0 {
			t.Fatalf("%d rules, then %d", first, n)
		}
	}
}
