package layersout

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/layerpack"
)

// script is what a container does: it installs a package, and edits, deletes, renames and
// links what the image has. What is in logs, and says when, goes.
const script = `
mkdir -p /root/p/DEBIAN /root/p/usr/share/doc/made /root/p/usr/lib/made
printf 'Package: made\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: test\n' > /root/p/DEBIAN/control
printf '#!/bin/sh\nset -e\necho configured > /var/lib/made\n' > /root/p/DEBIAN/postinst
chmod 755 /root/p/DEBIAN/postinst
seq 20000 > /root/p/usr/share/doc/made/large
ln -s ../../share/doc/made/large /root/p/usr/lib/made/link
dpkg-deb -Znone --build /root/p /root/made.deb
dpkg -i /root/made.deb
rm -r /root/p /root/made.deb
echo edited >> /etc/passwd
sed -i s/root/toor/ /etc/group
rm /etc/issue
rm -r /usr/share/doc
mv /usr/share/common-licenses /usr/share/licences
mv /etc/hostname /etc/name 2>/dev/null || echo name > /etc/name
ln /bin/ls /root/ls
ln /root/ls /bin/dir2
chmod 700 /bin/cat
chown 1:2 /usr/bin/tac
mkdir -m 2750 /srv/new
dd if=/dev/zero of=/srv/new/sparse bs=1k count=3 seek=5000 2>/dev/null
echo end | dd of=/srv/new/sparse bs=1k seek=9000 conv=notrunc 2>/dev/null
mkfifo /srv/new/fifo
rm -rf /var/log/* /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old
`

// TestDebianSameDigest: the same script makes the same layer of a Debian root with
// every driver.
func TestDebianSameDigest(t *testing.T) {
	needRoot(t)
	path, err := debianroot.Tar(t.Context())
	if errors.Is(err, debianroot.ErrUnavailable) {
		t.Skipf("SKIPPED: needs a Debian root: %v", err)
	}
	must(t, err)
	tar, err := os.ReadFile(path)
	must(t, err)
	dir := testenv.LoopFS(t, "btrfs", 4<<30)
	c := chain(t, dir, pack(t, dir, tar))
	all := drivers(dir)
	if len(all) < 4 {
		t.Errorf("only %d drivers work here", len(all))
	}
	epoch := time.Unix(1_700_000_000, 0)
	var first layerpack.Written
	var want []byte
	for name, drv := range all {
		box := start(t, drv, dir, c)
		cmd := exec.Command("/bin/sh", "-ec", script)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: box.root}
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		var b bytes.Buffer
		w, err := layerpack.WriteLayer(t.Context(), &b, drv.Diff(t.Context(), box.snap), layerpack.WriteOptions{Epoch: &epoch, DirTimes: true})
		must(t, err)
		must(t, box.m.Unmount())
		must(t, drv.Remove(t.Context(), box.snap))
		if first.Entries == 0 {
			first, want = w, b.Bytes()
			t.Logf("%s: %+v", name, w)
		}
		if w != first {
			t.Errorf("%s: %+v is not %+v:\n%s", name, w, first, unlike(t, want, b.Bytes()))
		}
	}
}
