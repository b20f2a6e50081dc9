package imagecmd

import (
	"testing"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/userns"
)

// A profile that is kept for more than one specification is as it was for the first,
// whatever each does with its own.
func TestMadeProfile(t *testing.T) {
	mapping, err := userns.Current()
	if err != nil {
		t.Fatal(err)
	}
	var made madeProfile
	first := 0
	for range 3 {
		spec := runtime.DefaultSpec(runtime.SpecOptions{Args: []string{"true"}, Mapping: mapping})
		if spec.Linux.Seccomp, err = made.of(spec, "", mapping); err != nil {
			t.Fatal(err)
		}
		confineNodes(spec)
		if first == 0 {
			first = len(spec.Linux.Seccomp.Syscalls)
		}
		if n := len(spec.Linux.Seccomp.Syscalls); n != first {
			t.Fatalf("%d rules, then %d", first, n)
		}
	}
}
