package torture

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
)

// dpkg has a Debian root as the packed lower, in which packages are installed,
// replaced, removed and purged: one made here, and one of the root's own, made
// again of the files it has there, that replaces them all.
func dpkg(t *testing.T) {
	need(t, "dpkg-deb", "chroot")
	u := debian(t)
	srv := start(t, u.spec)
	made := madePackage(t, u.dir, "1.0", "first")
	newer := madePackage(t, u.dir, "2.0", "second")
	own := ownPackage(t, srv.mnt, u.dir, "perl-base")
	for _, deb := range []string{made, newer, own} {
		run(t, "cp", deb, srv.mnt+"/root/")
	}
	before := record(t, srv.mnt+"/usr")
	in := func(script string) string { return inRoot(t, srv.mnt, script) }
	in("dpkg -i /root/" + filepath.Base(made))
	if got := in("cat /usr/lib/tortured/deep/file /etc/tortured.conf /var/lib/tortured; readlink /usr/lib/tortured/link"); got != "first\nconf first\nconfigured\ndeep/file\n" {
		t.Errorf("installed: %q", got)
	}
	in("dpkg --verify tortured; dpkg --audit")
	in("echo mine >> /etc/tortured.conf")
	in("dpkg -i --force-confold /root/" + filepath.Base(newer))
	if got := in("cat /usr/lib/tortured/deep/file /etc/tortured.conf; ls /etc/tortured.conf.dpkg-dist; dpkg-query -W -f '${Version} ${Status}' tortured"); got != "second\nconf first\nmine\n/etc/tortured.conf.dpkg-dist\n2.0 install ok installed" {
		t.Errorf("upgraded: %q", got)
	}
	in("dpkg --unpack /root/" + filepath.Base(own) + "; dpkg --configure perl-base; dpkg --verify perl-base")
	in(`perl -e 'print "alive"'; dpkg -r tortured`)
	if got := in("dpkg-query -W -f '${Status}' tortured; ls /etc/tortured.conf; test ! -e /usr/lib/tortured"); got != "deinstall ok config-files/etc/tortured.conf\n" {
		t.Errorf("removed: %q", got)
	}
	in("dpkg -P tortured; test ! -e /etc/tortured.conf; test ! -e /var/lib/tortured")
	check := func(root string) {
		// What was installed is gone, what was replaced is what it was.
		ign := treediff.Ignore{DirSize: true, DirNlink: true}
		for _, e := range before.Entries {
			if e.Mode&syscall.S_IFMT == syscall.S_IFDIR {
				ign.MtimeOf = append(ign.MtimeOf, e.Path)
			}
		}
		if ds := treediff.Compare(before, record(t, root+"/usr"), ign); len(ds) > 0 {
			t.Errorf("/usr is not what it was:\n%s", treediff.Format(ds, 20))
		}
	}
	audit := "dpkg --audit; dpkg --verify perl-base dpkg libc6; dpkg-query -W tortured 2>&1 | grep -q 'no packages found'"
	if out := in(audit); out != "" {
		t.Error(out)
	}
	check(srv.mnt)
	srv.unmount()
	srv = start(t, u.spec)
	if out := in(audit); out != "" {
		t.Error(out)
	}
	check(srv.mnt)
	srv.unmount()
	u.untouched()
}

// debian is a union over Debian's minimal root.
func debian(t *testing.T) *union {
	t.Helper()
	path, err := debianroot.Tar(context.Background())
	if errors.Is(err, debianroot.ErrUnavailable) {
		t.Skipf("SKIPPED: needs a Debian root: %v", err)
	}
	must(t, err)
	u := &union{t: t, dir: testenv.TempDir(t)}
	layer := u.dir + "/packed/layer0"
	u.spec = spec{Upper: u.dir + "/upper", Work: u.dir + "/work", Target: u.dir + "/mnt"}
	mkdirs(t, layer, u.spec.Upper, u.spec.Work, u.spec.Target)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	p, err := layerpack.Pack(context.Background(), f, layer, layerpack.PackOptions{})
	must(t, err)
	u.spec.Chain = &cow.Chain{Index: u.dir + "/packed/index", Layers: []cow.Layer{{DiffID: p.DiffID, Dir: layer}}}
	must(t, layerpack.BuildIndex(context.Background(), u.spec.Chain.Index, u.spec.Chain.Layers))
	u.what = []string{u.dir + "/packed"}
	u.lower = []*treediff.Record{record(t, u.what[0])}
	return u
}

// inRoot runs a script in a root, without network and without a terminal.
func inRoot(t testing.TB, root, script string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-ec", script)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// madePackage makes a package with a configuration file, links and scripts.
func madePackage(t testing.TB, work, version, text string) string {
	t.Helper()
	dir := filepath.Join(work, "made-"+version)
	mkdirs(t, dir+"/DEBIAN", dir+"/usr/lib/tortured/deep", dir+"/usr/share/doc/tortured", dir+"/etc")
	for name, data := range map[string]string{
		"DEBIAN/control":    "Package: tortured\nVersion: " + version + "\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: test\n",
		"DEBIAN/conffiles":  "/etc/tortured.conf\n",
		"DEBIAN/postinst":   "#!/bin/sh\nset -e\necho configured > /var/lib/tortured\n",
		"DEBIAN/postrm":     "#!/bin/sh\nset -e\ntest \"$1\" != purge || rm -f /var/lib/tortured\n",
		"etc/tortured.conf": "conf " + text + "\n", "usr/lib/tortured/deep/file": text + "\n",
		"usr/share/doc/tortured/large": strings.Repeat(text, 40_000),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
	}
	must(t, os.Chmod(dir+"/DEBIAN/postinst", 0o755))
	must(t, os.Chmod(dir+"/DEBIAN/postrm", 0o755))
	must(t, os.Symlink("deep/file", dir+"/usr/lib/tortured/link"))
	must(t, os.Link(dir+"/usr/lib/tortured/deep/file", dir+"/usr/lib/tortured/hard"))
	return buildPackage(t, dir)
}

// ownPackage makes a package again that is installed in a root, of its files there.
func ownPackage(t testing.TB, root, work, name string) string {
	t.Helper()
	dir := filepath.Join(work, name)
	mkdirs(t, dir+"/DEBIAN")
	inRoot(t, root, `mkdir -p /root/own; dpkg-query -L `+name+` | grep -v '^diverted' > /root/own/list; dpkg-query -s `+name+` | grep -v '^Status:\|^Conffiles:\|^ /' > /root/own/control`)
	sh(t, root, `tar --no-recursion --xattrs --acls --numeric-owner -cf - --files-from=- < root/own/list -C "$ROOT" 2>/dev/null | tar -xpf - -C "$DIR"`+
		`; cp root/own/control "$DIR/DEBIAN/control"; for s in postinst preinst postrm prerm triggers shlibs symbols conffiles; do
			! test -e var/lib/dpkg/info/`+name+`.$s || cp -p var/lib/dpkg/info/`+name+`.$s "$DIR/DEBIAN/$s"; done; rm -r root/own`, "ROOT="+root, "DIR="+dir)
	return buildPackage(t, dir)
}

func buildPackage(t testing.TB, dir string) string {
	t.Helper()
	run(t, "dpkg-deb", "-Znone", "--build", dir, dir+".deb")
	return dir + ".deb"
}
