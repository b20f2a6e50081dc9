package unionfs

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestNoRequestsForOthers: with ACLs a walk by somebody who owns nothing costs
// no request either, once it is warm; the root is one directory under both ids.
func TestNoRequestsForOthers(t *testing.T) {
	needMount(t)
	low, up := scratch(t), scratch(t)
	for i := range 40 {
		write(t, fmt.Sprintf("%s/d%d/f%d", low, i%4, i), "x")
	}
	write(t, filepath.Join(low, rootAliasName), "an ordinary file")
	mkdirs(t, filepath.Join(up, "up"), filepath.Join(up, "work"))
	mnt, srv := mount(t, Options{LowerDirs: []string{low}, Upper: filepath.Join(up, "up"), Work: filepath.Join(up, "work")}, MountOptions{AllowOther: true})
	if got := read(t, filepath.Join(mnt, rootAliasName)); got != "an ordinary file" {
		t.Errorf("a file of the alias's name reads %q", got)
	}
	walk := func() {
		t.Helper()
		cmd := exec.Command("find", mnt, "-size", "+0")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
		out, err := cmd.CombinedOutput()
		if n := strings.Count(string(out), "/f"); err != nil || n != 40 {
			t.Fatalf("find saw %d files: %v\n%s", n, err, out)
		}
	}
	walk()
	walk() // reading a directory has made its atime unknown; this asks for it again
	undisturbed(t, func() string {
		before := srv.FS().Requests()
		walk()
		after := srv.FS().Requests()
		delete(before, "STATFS") // find's own
		delete(after, "STATFS")
		if d := cmp.Diff(before, after); d != "" {
			return "a warm walk of somebody else sent requests (-before +after):\n" + d
		}
		return ""
	})
	var root, dot unix.Stat_t
	must(t, unix.Stat(mnt, &root))
	must(t, unix.Stat(mnt+"/d1/..", &dot))
	if root.Ino != dot.Ino || root.Dev != dot.Dev {
		t.Errorf("root is %d:%d, and from below %d:%d", root.Dev, root.Ino, dot.Dev, dot.Ino)
	}
	if n := srv.FS().Nodes(); n < 41 {
		t.Errorf("%d nodes", n)
	}
}
