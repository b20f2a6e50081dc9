package imagecmd

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/internal/wire/wiretest"
)

// Everything that a monitor can be told arrives.
func TestRequestArrives(t *testing.T) {
	wiretest.Arrives[monitorRequest](t, cmp.AllowUnexported(Container{}, shownFile{}))
}
