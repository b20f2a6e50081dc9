package runtime

import (
	"testing"

	"github.com/cfs-project/cfs/internal/wire/wiretest"
)

// Everything that init can be told arrives.
func TestConfigArrives(t *testing.T) { wiretest.Arrives[initConfig](t) }
