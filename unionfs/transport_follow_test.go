package unionfs

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func TestParseCPU(t *testing.T) {
	tail := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 7 0 0 0\n"
	for stat, want := range map[string]int{
		"12 (cat)" + tail:       7,
		"12 (a) b ) (c)" + tail: 7,
		"12 (cat) S 1 2":        -1,
		"12 cat":                -1,
		"":                      -1,
		"12 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 x 0": -1,
	} {
		if got := parseCPU([]byte(stat)); got != want {
			t.Errorf("parseCPU(%q) = %d, want %d", stat, got, want)
		}
	}
}

// TestFollows has a thread that is bound to each CPU in turn be found there,
// followed, and let go.
func TestFollows(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	if all.Count() < 2 {
		t.Skip("SKIPPED: needs two CPUs")
	}
	var f follower
	look := newLookout()
	defer look.stop()
	f.begin(look)
	defer f.end()
	if !f.can {
		t.Fatal("following is off although there are two CPUs and /proc")
	}
	for cpu := range 1024 {
		if !all.IsSet(cpu) {
			continue
		}
		client := boundThread(t, cpu)
		f.release()
		f.sample(clientCPU(client), time.Now())
		if f.follows() {
			t.Fatal("follows after one sample")
		}
		f.sample(clientCPU(client), time.Now())
		var now unix.CPUSet
		if err := unix.SchedGetaffinity(0, &now); err != nil {
			t.Fatal(err)
		}
		if !f.follows() || now.Count() != 1 || !now.IsSet(cpu) {
			t.Fatalf("client on CPU %d: follows %t, affinity %v", cpu, f.follows(), now)
		}
	}
	f.giveUp(time.Now())
	var now unix.CPUSet
	if err := unix.SchedGetaffinity(0, &now); err != nil {
		t.Fatal(err)
	}
	if f.follows() || now != all || !f.retry.After(time.Now()) {
		t.Errorf("after giving up: follows %t, affinity %v, want %v", f.follows(), now, all)
	}
}

// TestLookoutNeverHolds: a worker goes on while the kernel doesn't tell where its
// client is, and hears of it afterwards.
func TestLookoutNeverHolds(t *testing.T) {
	release := make(chan struct{})
	look := &lookout{questions: make(chan question, 1), find: func(uint32) int { <-release; return 0 }}
	go look.run()
	defer look.stop()
	for _, op := range []uint32{opRead, opWrite, opGetattr, opGetxattr, opFlush, opOpen, opRelease, opFsync} {
		if unlocked(op) {
			t.Errorf("%s may come from execve", opName(op))
		}
	}
	var f follower
	f.begin(look)
	defer f.end()
	f.can = true
	var msg [inHeaderSize]byte
	h, _ := arg[fuse.InHeader](msg[:])
	h.Opcode, h.Pid = opGetattr, 1
	for range 100 * followEvery { // returns, or the test times out
		f.request(msg[:])
	}
	if f.seen.Load() != 0 {
		t.Error("seen before it was told")
	}
	close(release)
	for end := time.Now().Add(10 * time.Second); f.seen.Load() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never seen")
		}
	}
}

// boundThread is the id of a thread that sleeps, having run on cpu last.
func boundThread(t *testing.T, cpu int) uint32 {
	tid, stop := make(chan int), make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Errorf("bind to CPU %d: %v", cpu, err)
		}
		tid <- unix.Gettid()
		<-stop
	}()
	id := uint32(<-tid)
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("SKIPPED: needs /proc")
	}
	return id
}
