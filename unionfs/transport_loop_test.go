package unionfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// heldFS holds up what asks for the name "held" until it is let go, and FSYNC.
type heldFS struct {
	fuse.RawFileSystem
	came chan string
	let  chan struct{}
}

func (f heldFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if strings.HasPrefix(name, "held") {
		f.came <- name
		<-f.let
		return fuse.ENOENT
	}
	return f.RawFileSystem.Lookup(nil, h, name, out)
}

func mountLoop(t *testing.T, l Loop, wrap func(*FS) fuse.RawFileSystem) (string, func() error) {
	t.Helper()
	needMount(t)
	low, up := scratch(t), scratch(t)
	write(t, filepath.Join(low, "f"), "contents")
	mkdirs(t, filepath.Join(up, "up"), filepath.Join(up, "work"))
	fs, err := New(Options{LowerDirs: []string{low}, Upper: filepath.Join(up, "up"), Work: filepath.Join(up, "work")})
	must(t, err)
	dir := t.TempDir()
	srv, err := Mount(fs, dir, MountOptions{Transport: wrapped{l, func() fuse.RawFileSystem { return wrap(fs) }}})
	must(t, err)
	var once sync.Once
	unmount := func() (err error) {
		once.Do(func() { err = srv.Unmount() })
		return err
	}
	t.Cleanup(func() {
		if err := unmount(); err != nil {
			t.Error(err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir, unmount
}

// wrapped is a transport that is given another file system.
type wrapped struct {
	Transport
	fs func() fuse.RawFileSystem
}

func (w wrapped) Serve(fd int, _ fuse.RawFileSystem, o TransportOptions) (Session, error) {
	return w.Transport.Serve(fd, w.fs(), o)
}

// TestLoopHeldUp: requests that take long, as many as there are workers but
// one, don't hold up the others; and the workers are gone afterwards.
func TestLoopHeldUp(t *testing.T) {
	const workers = 6
	held := heldFS{came: make(chan string, workers), let: make(chan struct{})}
	dir, unmount := mountLoop(t, Loop{Workers: workers}, func(fs *FS) fuse.RawFileSystem {
		held.RawFileSystem = fs
		return held
	})
	var wg sync.WaitGroup
	for i := range workers - 1 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var st unix.Stat_t
			// Different directories would be needed for the kernel to ask for
			// these at once, but for FUSE_PARALLEL_DIROPS.
			if err := unix.Lstat(filepath.Join(dir, fmt.Sprint("held", i)), &st); err != unix.ENOENT {
				t.Errorf("held%d: %v", i, err)
			}
		}()
	}
	for range workers - 1 {
		select {
		case <-held.came:
		case <-time.After(10 * time.Second):
			t.Fatal("requests that take long hold up others that take long")
		}
	}
	begin := time.Now()
	if got := read(t, filepath.Join(dir, "f")); got != "contents" {
		t.Errorf("read %q", got)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("a read took %v", d)
	}
	close(held.let)
	wg.Wait()
	must(t, unmount())
}

// TestLoopLeavesNothing: mounting, working with several clients and unmounting
// leaves no descriptor and no thread at work behind.
func TestLoopLeavesNothing(t *testing.T) {
	before := openDescriptors(t)
	for range 5 {
		dir, unmount := mountLoop(t, Loop{}, func(fs *FS) fuse.RawFileSystem { return fs })
		var wg sync.WaitGroup
		for c := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range 50 {
					p := filepath.Join(dir, fmt.Sprint(c, "-", i))
					if err := os.WriteFile(p, []byte(p), 0o644); err != nil {
						t.Error(err)
					}
					if b, err := os.ReadFile(p); err != nil || string(b) != p {
						t.Errorf("read %q, %v", b, err)
					}
				}
			}()
		}
		wg.Wait()
		must(t, unmount())
	}
	if after := openDescriptors(t); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	ents, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	n := 0
	for _, e := range ents {
		if l, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && (strings.Contains(l, "fuse") || strings.Contains(l, "event") || strings.HasPrefix(l, "/dev/shm/")) {
			n++
		}
	}
	return n
}

// TestLoopAborted: a connection that the kernel ends by force, with a request
// under way, ends the session too.
func TestLoopAborted(t *testing.T) {
	needMount(t)
	held := heldFS{came: make(chan string, 1), let: make(chan struct{})}
	dir, unmount := mountLoop(t, Loop{}, func(fs *FS) fuse.RawFileSystem {
		held.RawFileSystem = fs
		return held
	})
	failed := make(chan error, 1)
	go func() {
		var st unix.Stat_t
		failed <- unix.Lstat(filepath.Join(dir, "held"), &st)
	}()
	<-held.came
	must(t, unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH))
	if err := <-failed; err == nil {
		t.Error("a request of an aborted connection succeeded")
	}
	close(held.let)
	must(t, unmount()) // waits for the end
}

// TestLoopNegotiates: what the kernel of this machine offers is taken, and
// what would be wrong is not.
func TestLoopNegotiates(t *testing.T) {
	low := scratch(t)
	_, s := mount(t, Options{LowerDirs: []string{low}}, MountOptions{Transport: Loop{}})
	caps := s.Capabilities()
	if want := uint64(fuse.CAP_READDIRPLUS | fuse.CAP_PARALLEL_DIROPS | fuse.CAP_NO_OPEN_SUPPORT | fuse.CAP_MAX_PAGES); caps&want != want {
		t.Errorf("capabilities %#x, without %#x", caps, want&^caps)
	}
	if bad := caps & (unwanted | fuse.CAP_AUTO_INVAL_DATA); bad != 0 {
		t.Errorf("capabilities %#x, which don't belong there", bad)
	}
}

func TestInitReply(t *testing.T) {
	o := TransportOptions{MaxWrite: 1 << 20, MaxBackground: 128}
	for _, c := range []struct {
		major, minor uint32
		fails        bool
		answer       [2]uint32
	}{
		{7, 22, true, [2]uint32{}},
		{6, 30, true, [2]uint32{}},
		{7, 31, false, [2]uint32{7, 31}},
		{7, 99, false, [2]uint32{7, protoMinorMax}},
		{8, 1, false, [2]uint32{7, protoMinorMax}}, // it asks again
	} {
		out, err := initReply(&fuse.InitIn{Major: c.major, Minor: c.minor, Flags: 1<<32 - 1, Flags2: 1<<32 - 1}, o)
		if (err != nil) != c.fails {
			t.Errorf("%d.%d: %v", c.major, c.minor, err)
			continue
		}
		if err != nil {
			if !isErrno(err, unix.EPROTO) {
				t.Errorf("%d.%d: %v is no EPROTO", c.major, c.minor, err)
			}
			continue
		}
		if got := [2]uint32{out.Major, out.Minor}; got != c.answer {
			t.Errorf("%d.%d is answered with %v", c.major, c.minor, got)
		}
		if c.major == 7 && (out.MaxPages != 256 || out.CongestionThreshold != 96 || out.Flags64()&^uint64(loopWanted) != 0) {
			t.Errorf("%d.%d is answered with %+v", c.major, c.minor, out)
		}
	}
}

func TestTransportByName(t *testing.T) {
	for name, ok := range map[string]bool{"": true, "loop": true, "gofuse": true, "Loop": false, "libfuse": false} {
		if _, err := TransportByName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	t.Setenv(TransportVar, "none")
	fs, err := New(Options{LowerDirs: []string{scratch(t)}})
	must(t, err)
	defer fs.Close()
	if _, err := Mount(fs, t.TempDir(), MountOptions{}); !isErrno(err, unix.EINVAL) || !strings.Contains(fmt.Sprint(err), TransportVar) {
		t.Errorf("mount: %v", err)
	}
}

// TestPace: who sleeps long begins to look, and stops when the CPU is wanted
// elsewhere, or the requests are.
func TestPace(t *testing.T) {
	var taken int64
	now := time.Unix(1, 0)
	p := pace{spin: 50 * time.Microsecond, taken: func() int64 { return taken }}
	for range 1000 {
		p.came(5*time.Microsecond, now)
	}
	if p.looking {
		t.Error("looks though nothing had to be woken")
	}
	for range 100 {
		p.came(30*time.Microsecond, now)
	}
	if !p.looking {
		t.Error("sleeps though waking takes long")
	}
	taken += lossLimit
	for range checkEvery {
		p.came(30*time.Microsecond, now)
	}
	if p.looking {
		t.Error("looks though others want the CPU")
	}
	for range 100 {
		p.came(30*time.Microsecond, now)
	}
	if p.looking {
		t.Error("does not wait before it tries again")
	}
	now = now.Add(pauseMin + 1)
	for range 100 {
		p.came(30*time.Microsecond, now)
	}
	if !p.looking {
		t.Error("does not try again")
	}
	for range 5 {
		p.came(time.Millisecond, now)
	}
	if p.looking {
		t.Error("looks though requests are far apart")
	}
}
