package erofs

import (
	"errors"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

func harness(t testing.TB) cowtest.Harness {
	drivertest.NeedsRoot(t)
	if err := New(t.TempDir()).Probe(t.Context()); err != nil {
		t.Skip("SKIPPED: ", err)
	}
	return cowtest.Harness{
		New:   func(t testing.TB) cow.Driver { return New(t.TempDir()) },
		Chain: drivertest.Chain[cowtest.Layer],
		Limits: map[cowtest.Limit]string{
			cowtest.ViewsOnly:          "EROFS is a read-only filesystem",
			cowtest.SourceIsFilesystem: "it is the index",
		},
	}
}

func TestConformance(t *testing.T) { cowtest.Run(t, harness(t)) }

// The kernel maps the files, which those of tmpfs are not made for.
func TestProbeOnTmpfs(t *testing.T) {
	var u *cow.Unusable
	if err := New(drivertest.Filesystem(t, "tmpfs", "")).Probe(t.Context()); err != nil && !errors.As(err, &u) {
		t.Fatal(err)
	} else if u != nil && (u.Driver != Name || u.Hint == "") {
		t.Errorf("Probe says %v, hint %q", u, u.Hint)
	}
}
