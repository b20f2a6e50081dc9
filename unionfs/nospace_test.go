package unionfs

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
)

// TestPartialWithoutSpace: a write to a file that lacks data ends early because
// there is no space. What was not written is the lower file's also for the next
// mount, whatever blocks the filesystem has left there.
func TestPartialWithoutSpace(t *testing.T) {
	needMount(t)
	for _, fstype := range []string{"ext4", "xfs"} {
		t.Run(fstype, func(t *testing.T) {
			low, small := scratch(t), testenv.LoopFS(t, fstype, map[string]int64{"ext4": 24 << 20, "xfs": 300 << 20}[fstype])
			want := make([]byte, 4<<20)
			r := rand.New(rand.NewPCG(1, 1))
			for i := range want {
				want[i] = byte(1 + r.IntN(255))
			}
			must(t, os.WriteFile(low+"/f", want, 0o644))
			mkdirs(t, small+"/upper", small+"/work")
			o := Options{LowerDirs: []string{low}, Upper: small + "/upper", Work: small + "/work"}
			mnt, srv := mount(t, o, MountOptions{})
			must(t, unix.Chmod(mnt+"/f", 0o600))
			filler, err := os.Create(small + "/filler")
			must(t, err)
			defer filler.Close()
			f, err := os.OpenFile(mnt+"/f", os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			for round := range int64(8) {
				for err = nil; err == nil; {
					_, err = filler.Write(make([]byte, 4096))
				}
				st, err := filler.Stat()
				must(t, err)
				must(t, filler.Truncate(st.Size()-(20+5*round)<<10))
				off := 100_000 + 400_000*round + 777
				n, err := unix.Pwrite(int(f.Fd()), bytes.Repeat([]byte{0xff}, 200_000), off)
				if err != nil && err != unix.ENOSPC {
					t.Fatal(err)
				}
				if round == 0 && n == 200_000 {
					t.Error("there was space enough")
				}
				copy(want[off:], bytes.Repeat([]byte{0xff}, max(n, 0)))
				if got := read(t, mnt+"/f"); got != string(want) {
					t.Errorf("round %d, %d written: not what was written", round, n)
				}
			}
			must(t, f.Close())
			must(t, srv.Unmount())
			mnt, srv = mount(t, o, MountOptions{})
			got := read(t, mnt+"/f")
			for i := 0; i < len(want); i += 4096 {
				if got[i:i+4096] != string(want[i:i+4096]) {
					t.Errorf("block %d is another one after a remount, zeros: %v", i/4096, got[i:i+4096] == string(make([]byte, 4096)))
				}
			}
			must(t, srv.Unmount())
		})
	}
}
