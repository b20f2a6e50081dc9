package unionfs

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
)

// TestRenamedOverWhiteoutKeepsTime: a directory takes the place of a whiteout by an
// exchange, which on XFS gives it a new time; the next mount must not see that.
func TestRenamedOverWhiteoutKeepsTime(t *testing.T) {
	needMount(t)
	for _, fstype := range []string{"xfs", "ext4"} {
		t.Run(fstype, func(t *testing.T) {
			low, ground := scratch(t), testenv.LoopFS(t, fstype, 300<<20)
			mkdirs(t, low+"/from/d", ground+"/upper", ground+"/work")
			write(t, low+"/c", "in the way")
			o := Options{LowerDirs: []string{low}, Upper: ground + "/upper", Work: ground + "/work"}
			mnt, srv := mount(t, o, MountOptions{})
			old := unix.Timespec{Sec: 1e9}
			must(t, unix.UtimesNanoAt(unix.AT_FDCWD, mnt+"/from/d", []unix.Timespec{old, old}, 0))
			must(t, os.Remove(mnt+"/c"))
			must(t, os.Rename(mnt+"/from/d", mnt+"/c"))
			must(t, srv.Unmount())
			mnt, srv = mount(t, o, MountOptions{})
			if st := stat(t, mnt+"/c"); st.Mtim != old {
				t.Errorf("the directory's time is %d", st.Mtim.Sec)
			}
			must(t, srv.Unmount())
		})
	}
}
