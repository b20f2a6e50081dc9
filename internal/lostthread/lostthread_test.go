package lostthread

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// What /proc/self shows stays that of the process, however many threads went another way.
func TestNeverMain(t *testing.T) {
	want := errors.New("returned")
	for range 1000 {
		var tid int
		err := Do(func() error {
			tid = unix.Gettid()
			if err := unix.Unshare(unix.CLONE_FILES); err != nil {
				t.Error(err)
			}
			return want
		})
		if err != want {
			t.Fatal(err)
		}
		if tid == unix.Getpid() {
			t.Fatal("f ran on the main thread")
		}
		f, err := os.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
