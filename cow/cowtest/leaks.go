package cowtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// holdings count what there is, by name: the descriptors that this process has open, the mounts
// below directories of a test, and the loop devices of files there.
type holdings map[string]int

// held looks at a test, whose temporary directories have its name.
func held(t testing.TB, root string) holdings {
	t.Helper()
	h := holdings{}
	// Not what has no path: the runtime's own, and pipes that are being drained.
	for _, file := range descriptors(t, "/") {
		h["descriptor "+file]++
	}
	for _, line := range mountLines(t, "/") {
		if at := strings.Fields(line)[4]; strings.Contains(at, "/"+root) {
			h["mount at "+at]++
		}
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range loops {
		// One that goes meanwhile is none.
		if file, err := os.ReadFile(l); err == nil && strings.Contains(string(file), "/"+root) {
			h["loop device of "+strings.TrimSpace(string(file))]++
		}
	}
	return h
}

// leaks is what h has more of than before.
func (h holdings) leaks(before holdings) (out []string) {
	for what, n := range h {
		if n > before[what] {
			out = append(out, what)
		}
	}
	slices.Sort(out)
	return out
}

// noLeaks checks that all is gone again that came since before. The kernel may take a moment to let go.
func noLeaks(t testing.TB, root string, before holdings) {
	t.Helper()
	var left []string
	for range 500 {
		if left = held(t, root).leaks(before); left == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left after all cases: %q", left)
}
