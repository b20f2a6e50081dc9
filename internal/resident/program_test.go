package resident

import (
	"os"
	"strings"
	"testing"
)

// The program goes on after its pages were unmapped, and fewer of them are resident.
func TestForgetProgram(t *testing.T) {
	before := residentFile(t)
	ForgetProgram()
	after := residentFile(t)
	if after >= before {
		t.Errorf("%d KiB of files resident before, %d after", before, after)
	}
	if !strings.Contains(strings.Repeat("ab", 1000), "ba") {
		t.Error("it thinks no more")
	}
}

// residentFile is RssFile of proc_pid_status(5), in KiB.
func residentFile(t *testing.T) (kib int) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "RssFile:"); ok {
			for _, c := range v {
				if c >= '0' && c <= '9' {
					kib = kib*10 + int(c-'0')
				}
			}
		}
	}
	return kib
}
