package unionfs

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// TestCreateInOneStep: what a server that is killed could leave is a file with
// another mode than it was created with; so it is made with the right one.
func TestCreateInOneStep(t *testing.T) {
	both(t, func(low string) { write(t, low+"/f", "below") }, func(t *testing.T, open func() Options, dir string) {
		mnt, _ := mount(t, open(), MountOptions{})
		in, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		must(t, err)
		defer unix.Close(in)
		_, err = unix.InotifyAddWatch(in, dir+"/upper", unix.IN_CREATE|unix.IN_ATTRIB)
		must(t, err)
		must(t, unix.Mknod(mnt+"/file", unix.S_IFREG|0o640, 0))
		must(t, os.Mkdir(mnt+"/dir", 0o750))
		buf := make([]byte, 4096)
		n, err := unix.Read(in, buf)
		must(t, err)
		var got string
		for b := buf[:n]; len(b) > 0; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
			end := unix.SizeofInotifyEvent + int(e.Len)
			if name := bytes.TrimRight(b[unix.SizeofInotifyEvent:end], "\x00"); len(name) > 0 {
				got += fmt.Sprintf("%s %#x, ", name, e.Mask&^unix.IN_ISDIR)
			}
			b = b[end:]
		}
		if want := "file 0x100, dir 0x100, "; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
		for name, mode := range map[string]uint32{"file": 0o640, "dir": 0o750} {
			if st := stat(t, mnt+"/"+name); st.Mode&0o7777 != mode {
				t.Errorf("%s: mode %o", name, st.Mode)
			}
		}
	})
}

// TestTruncatedCopyIsNew: a file is copied up for a truncation without what is cut
// off; a server killed just then has changed the data, so the time has to say so.
func TestTruncatedCopyIsNew(t *testing.T) {
	old := unix.Timespec{Sec: 1e9}
	fill := func(low string) {
		write(t, low+"/f", "0123456789")
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, low+"/f", []unix.Timespec{old, old}, 0))
	}
	both(t, fill, func(t *testing.T, open func() Options, dir string) {
		f, err := New(open())
		must(t, err)
		defer f.Close()
		var a fuse.Attr
		n, err := f.lookup(f.root, "f", &a)
		must(t, err)
		must(t, f.copyUp(n, 4))
		if st := stat(t, dir+"/upper/f"); st.Size != 4 || st.Mtim.Sec <= old.Sec {
			t.Errorf("%d bytes of %d", st.Size, st.Mtim.Sec)
		}
	})
}
