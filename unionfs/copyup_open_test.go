package unionfs

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCopyUpAtOpen(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	for _, at := range []string{"write", "open"} {
		t.Run(at, func(t *testing.T) {
			both(t, func(low string) {
				write(t, low+"/dir/small", "below")
				write(t, low+"/dir/large", large)
			}, func(t *testing.T, open func() Options, dir string) {
				o := open()
				o.CopyUpAtOpen = at == "open"
				mnt, _ := mount(t, o, MountOptions{})
				for _, name := range []string{"/dir/small", "/dir/large"} {
					before := stat(t, mnt+name)
					openFile(t, mnt+name, unix.O_RDONLY)
					if _, err := os.Lstat(dir + "/upper" + name); err == nil {
						t.Errorf("%s: copied up by being opened for reading", name)
					}
					for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_RDWR | unix.O_APPEND} {
						fd := openFile(t, mnt+name, flags)
						_, err := os.Lstat(dir + "/upper" + name)
						if got := err == nil; got != o.CopyUpAtOpen {
							t.Errorf("%s: copied up by being opened: %v, want %v", name, got, o.CopyUpAtOpen)
						}
						var st unix.Stat_t
						must(t, unix.Fstat(fd, &st))
						if st.Ino != before.Ino || st.Size != before.Size || st.Blocks != before.Blocks {
							t.Errorf("%s: was %+v, is %+v", name, before, st)
						}
					}
				}
				var up unix.Stat_t
				if o.CopyUpAtOpen {
					if up = stat(t, dir+"/upper/dir/large"); up.Blocks*512 >= up.Size {
						t.Errorf("large: opening copied %d bytes", up.Blocks*512)
					}
				}
				fd := openFile(t, mnt+"/dir/large", unix.O_RDWR)
				_, err := unix.Pwrite(fd, []byte("NEW"), 4)
				must(t, err)
				if got, want := read(t, mnt+"/dir/large"), large[:4]+"NEW"+large[7:]; got != want {
					t.Error("large: wrong contents")
				}
				if got := read(t, mnt+"/dir/small"); got != "below" {
					t.Errorf("small: %q", got)
				}
			})
		})
	}
}
