package imagecmd

import (
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
)

// parseSignal reads a signal as people write it: a number, or a name with or
// without SIG.
func parseSignal(s string) (unix.Signal, error) {
	n, ok := runtime.ParseSignal(s)
	if !ok {
		return 0, sentencef(nil, "Invalid signal: %s", s)
	}
	return n, nil
}
