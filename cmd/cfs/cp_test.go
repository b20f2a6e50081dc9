package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/internal/testenv"
)

// TestCopySwapped copies in and out while the container swaps a directory and a link
// that leads to the host's (CVE-2018-15664): what is read is never the host's, and the host
// is never written to.
func TestCopySwapped(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, _ testenv.User) {
		p := newPerson(t)
		tarBusybox(t, filepath.Join(p.dir, "box.tar"))
		p.must("import", "box.tar", "box")
		host := filepath.Join(p.dir, "host")
		for _, err := range []error{
			os.Mkdir(host, 0o777),
			os.WriteFile(filepath.Join(host, "secret"), []byte("host"), 0o644),
			os.WriteFile(filepath.Join(p.dir, "mine"), []byte("mine"), 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		// A link's target has as many ".." as lead out of anything.
		p.must("run", "-d", "--name", "evil", "box", "sh", "-c", `
			up=../../../../../../../../../../../..
			mkdir -p /stash/dir /swap; echo guest > /stash/dir/secret; ln -s $up`+host+` /stash/link; ln -s /proc/1/root/../../../../../..`+host+` /stash/proc
			touch /ready
			while :; do
				for name in link proc dir; do mv -T /stash/$name /swap/x; mv -T /swap/x /stash/$name; done
			done`)
		defer p.must("rm", "-f", "evil")
		p.must("exec", "evil", "sh", "-c", "until test -e /ready; do sleep 0.02; done")
		seen := map[string]int{}
		for range 25 {
			if out, err := p.cfs("cp", "-q", "evil:/swap/x/secret", "out"); err == nil {
				b, err := os.ReadFile(filepath.Join(p.dir, "out"))
				if err != nil || string(b) != "guest\n" {
					t.Fatalf("read %q %v %s", b, err, out)
				}
				seen["read"]++
			}
			if _, err := p.cfs("cp", "-q", "mine", "evil:/swap/x/written"); err == nil {
				seen["written"]++
			}
			if _, err := p.cfs("cp", "-q", "evil:/swap", "tree"); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(p.dir, "tree/x/secret")); err == nil && string(b) != "guest\n" && string(b) != "host" {
				t.Fatalf("%q", b) // "host" is what a link leads to that was copied as a link
			}
			if fi, err := os.Lstat(filepath.Join(p.dir, "tree/x")); err == nil && fi.IsDir() {
				if b, err := os.ReadFile(filepath.Join(p.dir, "tree/x/secret")); err == nil && string(b) != "guest\n" {
					t.Fatalf("the host's file was read: %q", b)
				}
			}
			if err := os.RemoveAll(filepath.Join(p.dir, "tree")); err != nil {
				t.Fatal(err)
			}
		}
		left, err := os.ReadDir(host)
		if err != nil || len(left) != 1 {
			t.Fatalf("the host was written to: %v %v", left, err)
		}
		t.Logf("%v of 25", seen)
	})
}

// TestCopyLoadsNothing copies from a container whose files would do harm to who uses them
// as programs or configuration (CVE-2019-14271): all that a name service looks at is a pipe
// that nobody writes to, or a file that is no such thing. Who opened one would hang.
func TestCopyLoadsNothing(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, _ testenv.User) {
		p := newPerson(t)
		tarBusybox(t, filepath.Join(p.dir, "box.tar"))
		p.must("import", "box.tar", "box")
		const trap = `
			echo data > /data
			for d in /lib /lib64 /usr/lib /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu; do
				mkdir -p $d
				for f in libnss_files.so.2 libnss_compat.so.2 libc.so.6 ld-linux-x86-64.so.2; do mkfifo $d/$f; done
			done
			for f in passwd group nsswitch.conf ld.so.cache ld.so.preload localtime; do rm -f /etc/$f; mkfifo /etc/$f; done
			touch /ready; exec sleep 1000`
		p.must("run", "-d", "--name", "evil", "box", "sh", "-c", trap)
		p.must("exec", "evil", "sh", "-c", "until test -e /ready; do sleep 0.02; done")
		copies := func() {
			t.Helper()
			p.must("cp", "-q", "evil:/data", "out")
			if b, err := os.ReadFile(filepath.Join(p.dir, "out")); string(b) != "data\n" {
				t.Errorf("%q %v", b, err)
			}
			if tar := p.must("cp", "evil:/data", "-"); !strings.Contains(tar, "data\n") {
				t.Errorf("%q", tar)
			}
			p.must("cp", "-q", "out", "evil:/back")
			p.must("cp", "-q", "evil:/etc", "etc")
			if fi, err := os.Lstat(filepath.Join(p.dir, "etc/passwd")); err != nil || fi.Mode()&os.ModeNamedPipe == 0 {
				t.Errorf("%v %v", fi, err)
			}
			if err := os.RemoveAll(filepath.Join(p.dir, "etc")); err != nil {
				t.Fatal(err)
			}
		}
		copies()
		p.must("kill", "evil")
		copies()
		p.must("rm", "evil")
	})
}
