package unionfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKilledServer kills the server with SIGKILL while files are copied up and
// written: at the next mount every file is what it was or what was written, in
// full, a hard-link group is one file, what was synced is there, and the work
// directory is clean.
func TestKilledServer(t *testing.T) {
	const files, groups = 40, 10
	body := func(i int) string { return strings.Repeat(fmt.Sprintf("%04d", i), 30_000) }
	fill := func(low string) {
		for i := range files {
			write(t, fmt.Sprintf("%s/d%d/f%d", low, i%4, i), body(i))
		}
		for i := range groups {
			write(t, fmt.Sprintf("%s/g/a%d", low, i), body(i))
			mkdirs(t, low+"/h")
			must(t, os.Link(fmt.Sprintf("%s/g/a%d", low, i), fmt.Sprintf("%s/h/b%d", low, i)))
		}
	}
	bothSpecs(t, fill, func(t *testing.T, c childSpec, dir string) {
		r := rand.New(rand.NewPCG(9, 9))
		for round := range 6 {
			os.RemoveAll(c.Upper)
			os.RemoveAll(c.Work)
			mkdirs(t, c.Upper, c.Work)
			srv := startChild(t, c)
			// The writer is a process of its own: it is left waiting for nobody
			// when the server is killed.
			script := fmt.Sprintf(`cd %s; for i in $(seq 0 %d); do
printf X | dd of=g/a$i conv=notrunc bs=1 2>/dev/null || exit; n=$((i%%4)); printf X | dd of=d$n/f$i conv=notrunc,fsync bs=1 2>/dev/null && echo $i >> %s/synced; done
for i in $(seq %d %d); do n=$((i%%4)); printf X | dd of=d$n/f$i conv=notrunc,fsync bs=1 2>/dev/null && echo $i >> %s/synced; done`,
				srv.mnt, groups-1, dir, groups, files-1, dir)
			os.Remove(dir + "/synced")
			w := exec.Command("sh", "-c", script)
			must(t, w.Start())
			time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
			srv.kill()
			_ = w.Wait()
			_ = unix.Unmount(srv.mnt, 0)

			next := startChild(t, c)
			changed := map[int]bool{}
			for i := range files {
				got := read(t, fmt.Sprintf("%s/d%d/f%d", next.mnt, i%4, i))
				changed[i] = got == "X"+body(i)[1:]
				if !changed[i] && got != body(i) {
					t.Errorf("round %d: f%d is neither old nor new (%d bytes)", round, i, len(got))
				}
			}
			synced, _ := os.ReadFile(dir + "/synced")
			for _, s := range strings.Fields(string(synced)) {
				var i int
				fmt.Sscan(s, &i)
				if !changed[i] {
					t.Errorf("round %d: f%d was synced and is lost", round, i)
				}
			}
			for i := range groups {
				a, b := fmt.Sprintf("%s/g/a%d", next.mnt, i), fmt.Sprintf("%s/h/b%d", next.mnt, i)
				sa, sb := stat(t, a), stat(t, b)
				if sa.Ino != sb.Ino || sa.Nlink != 2 || read(t, a) != read(t, b) {
					t.Errorf("round %d: group %d is no longer one file: %d %d nlink %d", round, i, sa.Ino, sb.Ino, sa.Nlink)
				}
			}
			if left, err := os.ReadDir(c.Work + "/work"); err != nil || len(left) != 0 {
				t.Errorf("round %d: work directory: %v, %v", round, left, err)
			}
			next.unmount()
		}
	})
}

// TestGroupIsCompleted: a server that was killed between the names of a group.
func TestGroupIsCompleted(t *testing.T) {
	fill := func(low string) {
		write(t, low+"/a", "group")
		mkdirs(t, low+"/d")
		must(t, os.Link(low+"/a", low+"/d/b"))
	}
	both(t, fill, func(t *testing.T, open func() Options, dir string) {
		mnt, srv := mount(t, open(), MountOptions{AllowOther: true})
		ino := stat(t, mnt+"/a").Ino
		must(t, unix.Chmod(mnt+"/a", 0o600))
		must(t, srv.Unmount())
		// As it was before the second name: the pending link instead of d/b.
		mkdirs(t, dir+"/work/"+groupsDir)
		must(t, os.Rename(dir+"/upper/d/b", fmt.Sprintf("%s/work/%s/%d", dir, groupsDir, ino)))
		mnt, srv = mount(t, open(), MountOptions{AllowOther: true})
		for _, p := range []string{"/a", "/d/b"} {
			if st := stat(t, mnt+p); st.Ino != ino || st.Nlink != 2 || st.Mode&0o777 != 0o600 {
				t.Errorf("%s: ino %d nlink %d mode %o", p, st.Ino, st.Nlink, st.Mode)
			}
		}
		must(t, srv.Unmount())
		if left, _ := os.ReadDir(dir + "/work/" + groupsDir); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}
