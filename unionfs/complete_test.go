package unionfs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// TestDriverComplete: after Complete a snapshot's files are whole, carry no mark
// and keep their attributes, and the kernel's overlay over the unpacked layers
// shows what the union showed.
func TestDriverComplete(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for _, name := range []string{"part", "meta", "cut", "gone", "caps"} {
		write(t, dir+"/low/d/"+name, string(data))
	}
	must(t, os.Link(dir+"/low/d/part", dir+"/low/d/twin"))
	mkdirs(t, dir+"/pk", dir+"/snap", dir+"/mnt")
	ctx, d := context.Background(), NewDriver(nil)
	s := cow.Snapshot{Dir: dir + "/snap", Base: packChain(t, dir+"/pk", dir+"/low")}
	must(t, d.Create(ctx, s))
	m, err := d.Mount(ctx, s, dir+"/mnt", cow.MountOptions{AllowOther: true})
	must(t, err)
	patch := func(name, what string, off int64) {
		f, err := os.OpenFile(dir+"/mnt/d/"+name, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte(what), off)
		must(t, err)
		must(t, f.Close())
	}
	patch("part", "hello", 100_001)
	patch("gone", "x", 0)
	must(t, os.Remove(dir+"/mnt/d/gone"))
	must(t, os.Truncate(dir+"/mnt/d/cut", 150_001))
	must(t, os.Chmod(dir+"/mnt/d/meta", 0o4711))
	must(t, os.Rename(dir+"/mnt/d/meta", dir+"/mnt/meta"))
	must(t, unix.Setxattr(dir+"/mnt/d/caps", capabilityXattr, fileCap, 0))
	want := snapshot(t, dir+"/mnt", snapshotOptions{mtime: true})
	must(t, m.Unmount())
	up := dir + "/snap/" + upperSub
	for _, name := range []string{"d/part", "meta", "d/cut", "d/caps"} {
		if st := stat(t, up+"/"+name); st.Blocks*512 > 64<<10 {
			t.Errorf("%s has its data before Complete: %d bytes", name, st.Blocks*512)
		}
	}
	must(t, d.Complete(ctx, s))
	must(t, d.Complete(ctx, s)) // nothing is left to do
	patched := bytes.Clone(data)
	copy(patched[100_001:], "hello")
	for name, want := range map[string][]byte{"d/part": patched, "d/twin": patched, "meta": data, "d/cut": data[:150_001], "d/caps": data} {
		same(t, up+"/"+name, want)
		for _, mark := range []string{markMetacopy, markPartial, markRedirect} {
			if _, err := unix.Getxattr(up+"/"+name, trustedMarks+mark, nil); err != unix.ENODATA {
				t.Errorf("%s has the mark %s: %v", name, mark, err)
			}
		}
	}
	opts := fmt.Sprintf("lowerdir=%s/low,upperdir=%s,workdir=%s/snap/%s,metacopy=off", dir, up, dir, workSub)
	must(t, unix.Mount("overlay", dir+"/mnt", "overlay", unix.MS_RDONLY, opts))
	defer func() { must(t, unix.Unmount(dir+"/mnt", 0)) }()
	sameTree(t, "the union before, the kernel's overlay after", want, snapshot(t, dir+"/mnt", snapshotOptions{mtime: true}))
}

// fileCap is a file capability (struct vfs_cap_data of linux/capability.h).
var fileCap = []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
