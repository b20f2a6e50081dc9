package runtime

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// Go's child dups its error pipe to the number above the largest file it is given: the
// program to execute must not be there.
func TestExecutableAboveFiles(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	path, done := executable([]*os.File{null, null, null, null})
	defer done()
	number, ok := strings.CutPrefix(path, "/proc/self/fd/")
	if !ok {
		t.Skipf("SKIPPED: no mount of the program can be made here: %s", path)
	}
	if n, err := strconv.Atoi(number); err != nil || n < int(null.Fd())+6 {
		t.Errorf("%s beside a file %d: %v", path, null.Fd(), err)
	}
}
