package unionfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func passing(t *testing.T, low string) (mnt, upper string, srv *Server) {
	t.Helper()
	needMount(t)
	up := scratch(t)
	o := Options{LowerDirs: []string{low}, Upper: filepath.Join(up, "up"), Work: filepath.Join(up, "work")}
	mkdirs(t, o.Upper, o.Work)
	mnt, srv = mount(t, o, MountOptions{AllowOther: true, Transport: Loop{}, TransportOptions: TransportOptions{Passthrough: true}})
	return mnt, o.Upper, srv
}

// requests counts what the server was asked for while fn ran.
func requests(srv *Server, op string, fn func()) uint64 {
	before := srv.FS().Requests()[op]
	fn()
	return uint64(srv.FS().Requests()[op] - before)
}

// TestPassthroughData: reads and writes of a file of the upper directory never
// reach the server, and are seen by everything that does.
func TestPassthroughData(t *testing.T) {
	mnt, upper, srv := passing(t, scratch(t))
	file := filepath.Join(mnt, "f")
	write(t, file, "")
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	if n := requests(srv, "WRITE", func() { must(t, os.WriteFile(file, data, 0o644)) }); n != 0 {
		t.Errorf("%d WRITE requests", n)
	}
	if n := requests(srv, "READ", func() {
		if got := read(t, file); got != string(data) {
			t.Errorf("read back %d bytes, differing", len(got))
		}
	}); n != 0 {
		t.Errorf("%d READ requests", n)
	}
	if got := read(t, filepath.Join(upper, "f")); got != string(data) {
		t.Errorf("the upper directory has %d bytes, differing", len(got))
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString("end")
	must(t, err)
	must(t, unix.Ftruncate(int(f.Fd()), int64(len(data))+1))
	must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096))
	must(t, os.Rename(file, file+"2"))
	must(t, os.Remove(file+"2"))
	want := append(make([]byte, 4096), data[4096:]...)
	want = append(want, 'e')
	got := make([]byte, len(want)+10)
	n, _ := f.ReadAt(got, 0)
	if !bytes.Equal(got[:n], want) {
		t.Errorf("after truncate, punch and unlink: %d bytes, differing", n)
	}
	st, err := f.Stat()
	must(t, err)
	if st.Size() != int64(len(want)) {
		t.Errorf("size %d, want %d", st.Size(), len(want))
	}
}

// TestPassthroughKeepsLowers: what is written never reaches a lower, and who
// had the lower file open, or mapped in another process, sees what is written.
func TestPassthroughKeepsLowers(t *testing.T) {
	low := scratch(t)
	old := strings.Repeat("lower", 40000)
	write(t, filepath.Join(low, "f"), old)
	write(t, filepath.Join(low, "small"), "lower")
	mnt, _, srv := passing(t, low)
	for _, name := range []string{"f", "small"} {
		file := filepath.Join(mnt, name)
		reader, err := os.Open(file)
		must(t, err)
		defer reader.Close()
		see := func(want string) {
			t.Helper()
			b := make([]byte, 5)
			_, err := reader.ReadAt(b, 0)
			must(t, err)
			if string(b) != want {
				t.Errorf("%s: who opened it before reads %q, want %q", name, b, want)
			}
		}
		see("lower")
		patch := func(s string) {
			t.Helper()
			w, err := os.OpenFile(file, os.O_WRONLY, 0)
			must(t, err)
			_, err = w.WriteString(s)
			must(t, err)
			must(t, w.Close())
		}
		patch("upper")
		see("upper") // still served
		patch("again")
		see("again")
		must(t, reader.Close())
		must(t, srv.FS().Complete(t.Context(), true))
		if n := requests(srv, "WRITE", func() { patch("third") }); n != 0 { // whole, and nobody had it open
			t.Errorf("%s: %d WRITE requests", name, n)
		}
		if reader, err = os.Open(file); err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		see("third")
	}
	if got := read(t, filepath.Join(low, "f")); got != old {
		t.Error("the lower file has changed")
	}
	if got := read(t, filepath.Join(low, "small")); got != "lower" {
		t.Errorf("the small lower file reads %q", got)
	}
}

// TestPassthroughReadOnly: without an upper directory lower files are passed.
func TestPassthroughReadOnly(t *testing.T) {
	needMount(t)
	low := scratch(t)
	write(t, filepath.Join(low, "f"), "data")
	mnt, srv := mount(t, Options{LowerDirs: []string{low}}, MountOptions{Transport: Loop{}, TransportOptions: TransportOptions{Passthrough: true}})
	if n := requests(srv, "READ", func() {
		if got := read(t, filepath.Join(mnt, "f")); got != "data" {
			t.Errorf("read %q", got)
		}
	}); n != 0 {
		t.Errorf("%d READ requests", n)
	}
	if err := os.WriteFile(filepath.Join(mnt, "f"), nil, 0o644); err == nil {
		t.Error("it can be written to")
	}
}

// TestPassthroughTimes: a write by another process changes the time that is shown.
func TestPassthroughTimes(t *testing.T) {
	mnt, _, _ := passing(t, scratch(t))
	file := filepath.Join(mnt, "f")
	write(t, file, "data")
	must(t, os.Chtimes(file, time.Unix(1e9, 0), time.Unix(1e9, 0)))
	if out, err := exec.Command("dd", "if=/dev/zero", "of="+file, "bs=1", "count=1", "conv=notrunc").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	st, err := os.Stat(file)
	must(t, err)
	if st.ModTime().Unix() == 1e9 {
		t.Error("a write left the time as it was")
	}
}

func TestPassthroughRefused(t *testing.T) {
	needMount(t)
	low := scratch(t)
	fs, err := New(Options{LowerDirs: []string{low}})
	must(t, err)
	defer fs.Close()
	_, err = Mount(fs, scratch(t), MountOptions{Transport: GoFuse{}, TransportOptions: TransportOptions{Passthrough: true}})
	if err == nil || !strings.Contains(err.Error(), "passthrough") {
		t.Errorf("by go-fuse: %v", err)
	}
}
