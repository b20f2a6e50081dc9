package unionfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// TestDriver walks through the life of a snapshot.
func TestDriver(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	write(t, dir+"/low/etc/passwd", "root")
	write(t, dir+"/low/old", "old")
	mkdirs(t, dir+"/pk", dir+"/snap", dir+"/mnt")
	chain := packChain(t, dir+"/pk", dir+"/low")
	ctx, d, s := context.Background(), NewDriver(nil), cow.Snapshot{Dir: dir + "/snap", Base: chain}
	must(t, d.Create(ctx, s))
	m, err := d.Mount(ctx, s, dir+"/mnt", cow.MountOptions{AllowOther: true})
	must(t, err)
	write(t, dir+"/mnt/etc/passwd", "root, and more")
	write(t, dir+"/mnt/new/file", "new")
	must(t, os.Remove(dir+"/mnt/old"))
	busy, err := unix.Open(dir+"/mnt/new", unix.O_RDONLY, 0)
	must(t, err)
	if err := m.Unmount(); !isErrno(err, unix.EBUSY) {
		t.Errorf("unmount while in use: %v", err)
	}
	unix.Close(busy)
	must(t, m.Unmount())
	must(t, m.Unmount())
	select {
	case <-m.Done():
	default:
		t.Error("not done after Unmount")
	}
	if open := descriptors(t, dir); len(open) != 0 {
		t.Errorf("open after Unmount: %v", open)
	}
	var got []string
	for c, err := range d.Changes(ctx, s) {
		must(t, err)
		got = append(got, fmt.Sprintf("%v %s", c.Kind, c.Path))
	}
	if diff := cmp.Diff([]string{"C /etc", "C /etc/passwd", "A /new", "A /new/file", "D /old"}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	ro, err := d.Mount(ctx, cow.Snapshot{Base: chain}, dir+"/mnt", cow.MountOptions{ReadOnly: true})
	must(t, err)
	if err := unix.Mkdir(dir+"/mnt/x", 0o755); err != unix.EROFS {
		t.Errorf("mkdir in a read-only view: %v", err)
	}
	must(t, unix.Unmount(dir+"/mnt", 0)) // somebody else's umount
	<-ro.Done()
	if open := descriptors(t, dir); len(open) != 0 {
		t.Errorf("open after umount(8): %v", open)
	}
	must(t, d.Remove(ctx, s))
	must(t, d.Remove(ctx, s))
	if left, _ := os.ReadDir(s.Dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// descriptors are this process's open files below dir.
func descriptors(t *testing.T, dir string) []string {
	fds, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	var open []string
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir) {
			open = append(open, to)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	if strings.Contains(string(maps), dir) {
		open = append(open, "a mapping")
	}
	return open
}

// TestForget: a server that has forgotten keeps nothing.
func TestForget(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	for i := range 200 {
		write(t, fmt.Sprintf("%s/low/d%d/f%d", dir, i%10, i), "x")
	}
	mkdirs(t, dir+"/pk", dir+"/u", dir+"/w")
	o, err := openBase(packChain(t, dir+"/pk", dir+"/low"))
	must(t, err)
	o.Upper, o.Work = dir+"/u", dir+"/w"
	mnt, srv := mount(t, o, MountOptions{AllowOther: true})
	undisturbed(t, func() string {
		_ = snapshot(t, mnt, snapshotOptions{})
		if n := srv.FS().Nodes(); n < 200 {
			return fmt.Sprintf("%d nodes after a walk", n)
		}
		return ""
	})
	for i := range 200 {
		p := fmt.Sprintf("%s/d%d/f%d", mnt, i%10, i)
		must(t, unix.Chmod(p, 0o600))
		if i%3 == 0 {
			must(t, os.Remove(p))
		}
	}
	must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
	for deadline := time.Now().Add(5 * time.Second); srv.FS().Nodes() > 5; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) { // nobody waits for a FORGET, so this does
			t.Errorf("%d nodes after everything was forgotten", srv.FS().Nodes())
			break
		}
	}
	_ = snapshot(t, mnt, snapshotOptions{})
}
