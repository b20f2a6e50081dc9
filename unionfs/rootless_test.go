package unionfs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// someUser is an ordinary user without an entry in any file.
const someUser = 54321

// asUser runs a shell script as an ordinary user, in a mount namespace of its
// own where everybody may open /dev/fuse. SERVE starts a server for the spec in
// the variable's value and waits for it.
func asUser(t *testing.T, dir, wrap, script string, spec childSpec) string {
	t.Helper()
	needMount(t)
	for _, p := range []string{"unshare", "setpriv", "fusermount3"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s: %v", p, err)
		}
	}
	bin := filepath.Join(dir, "server")
	data, err := os.ReadFile(os.Args[0])
	must(t, err)
	must(t, os.WriteFile(bin, data, 0o755))
	must(t, os.Chmod(dir, 0o755))
	s, err := json.Marshal(spec)
	must(t, err)
	serve := fmt.Sprintf(`
serve() { %s='%s' %s > %s/log 2>&1 & PID=$!; for i in $(seq 100); do grep -q . %s/log && break; sleep 0.05; done; grep -q mounted %s/log || { cat %s/log; exit 1; }; }
set -e
`, childEnv, s, bin, spec.Work, spec.Work, spec.Work, spec.Work)
	user := fmt.Sprintf("exec setpriv --reuid %d --regid %d --clear-groups --inh-caps=-all %s sh -c \"$SCRIPT\"", someUser, someUser, wrap)
	// fusermount3 wants the user to have a name.
	passwd, err := os.ReadFile("/etc/passwd")
	must(t, err)
	must(t, os.WriteFile(dir+"/passwd", fmt.Appendf(passwd, "unionfs-test:x:%d:%d::/:/bin/sh\n", someUser, someUser), 0o644))
	outer := fmt.Sprintf("cd %s && mknod fuse c 10 229 && chmod 666 fuse && mount --bind fuse /dev/fuse && mount --bind passwd /etc/passwd && %s", dir, user)
	cmd := exec.Command("unshare", "-m", "sh", "-c", outer)
	cmd.Env = append(os.Environ(), "SCRIPT="+serve+script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

// rootlessLower is a lower with owners that an ordinary user can't set.
func rootlessLower(t *testing.T, low string) {
	write(t, low+"/etc/shadow", "secret")
	must(t, os.Chown(low+"/etc/shadow", 0, 42))
	must(t, os.Chmod(low+"/etc/shadow", 0o640))
	write(t, low+"/bin/su", "suid")
	must(t, unix.Chmod(low+"/bin/su", 0o4755))
	must(t, os.Symlink("bin/su", low+"/link"))
	must(t, unix.Mknod(low+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, os.Chmod(low+"/null", 0o666))
	must(t, unix.Setxattr(low+"/bin/su", capabilityXattr, fileCap, 0))
}

// TestOrdinaryUser: mounted through fusermount3 by somebody without privileges
// the tree is what the image says, and stays so when it is changed.
func TestOrdinaryUser(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	rootlessLower(t, dir+"/low")
	mkdirs(t, dir+"/upper", dir+"/work", dir+"/mnt", dir+"/pk")
	chain := packChain(t, dir+"/pk", dir+"/low")
	for _, d := range []string{"upper", "work", "mnt"} {
		must(t, os.Chown(dir+"/"+d, someUser, someUser))
	}
	run(t, "chmod", "-R", "a+rX", dir+"/pk")
	out := asUser(t, dir, "", `
cd `+dir+`
serve
list() { stat -c '%n %f %u %g %t:%T' mnt/etc/shadow mnt/bin/su mnt/link mnt/null; cat mnt/etc/shadow; getfattr -h --absolute-names -n security.capability -e hex mnt/bin/su 2>/dev/null | grep = || true; }
list
echo -n more >> mnt/etc/shadow
chown 7:8 mnt/bin/su; chmod 6711 mnt/bin/su
chown -h 5:6 mnt/link
chmod 600 mnt/null
mkdir -m 0500 mnt/closed; (umask 777; : > mnt/none); chmod 0 mnt/none; chown 1:2 mnt/none
echo x > mnt/none2; chmod 0444 mnt/none2; : > mnt/mine; rm mnt/mine; mkfifo mnt/fifo; chown 3:4 mnt/fifo
(umask 333; echo readonly-create > mnt/ro)
list
stat -c '%n %f %u %g' mnt/closed mnt/none mnt/none2 mnt/ro mnt/fifo; readlink mnt/link
fusermount3 -u mnt; wait $PID; : > work/log
serve
echo REMOUNTED
list
stat -c '%n %f %u %g' mnt/closed mnt/none mnt/none2 mnt/ro mnt/fifo; readlink mnt/link; cat mnt/ro
rm -rf mnt/closed mnt/none mnt/etc; ls mnt
fusermount3 -u mnt; wait $PID
`, childSpec{Chain: &chain, Upper: dir + "/upper", Work: dir + "/work", Target: dir + "/mnt"})
	first := `mnt/etc/shadow 81a0 0 42 0:0
mnt/bin/su 89ed 0 0 0:0
mnt/link a1ff 0 0 0:0
mnt/null 21b6 0 0 1:3
secret`
	changed := `mnt/etc/shadow 81a0 0 42 0:0
mnt/bin/su 8dc9 7 8 0:0
mnt/link a1ff 5 6 0:0
mnt/null 2180 0 0 1:3
secretmore`
	tail := fmt.Sprintf(`
mnt/closed 4140 %[1]d %[1]d
mnt/none 8000 1 2
mnt/none2 8124 %[1]d %[1]d
mnt/ro 8124 %[1]d %[1]d
mnt/fifo 11a4 3 4
bin/su
`, someUser)
	const fcap = "security.capability=0x0100000200200000000000000000000000000000\n"
	want := first + fcap + changed + strings.TrimPrefix(tail, "\n") + "REMOUNTED\n" + changed + strings.TrimPrefix(tail, "\n") + "readonly-create\nbin\nfifo\nlink\nnone2\nnull\nro\n"
	if out != want {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
}

// TestUserNamespace: as root of a user namespace that knows one id, other ids are
// shown as root, so that the kernel lets files be written.
func TestUserNamespace(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	rootlessLower(t, dir+"/low")
	mkdirs(t, dir+"/upper", dir+"/work", dir+"/mnt", dir+"/pk")
	chain := packChain(t, dir+"/pk", dir+"/low")
	for _, d := range []string{"upper", "work", "mnt"} {
		must(t, os.Chown(dir+"/"+d, someUser, someUser))
	}
	run(t, "chmod", "-R", "a+rX", dir+"/pk")
	out := asUser(t, dir, "unshare -Urm", `
cd `+dir+`
serve
stat -c '%n %f %u %g' mnt/etc/shadow mnt/bin/su
echo -n more >> mnt/etc/shadow; cat mnt/etc/shadow; echo
stat -c '%n %f %u %g' mnt/etc/shadow
getfattr --only-values -n user.containers.override_stat upper/etc/shadow; echo
rm mnt/link; mknod mnt/x c 1 3 2>&1 | grep -c permitted || true
mkdir mnt/d; mv mnt/bin mnt/d/bin; rm mnt/d/bin/su; ls mnt/d/bin
stat -c '%F %t:%T' upper/link
umount mnt; wait $PID
`, childSpec{Chain: &chain, Upper: dir + "/upper", Work: dir + "/work", Target: dir + "/mnt", AllowOther: true})
	want := `mnt/etc/shadow 81a0 0 0
mnt/bin/su 89ed 0 0
secretmore
mnt/etc/shadow 81a0 0 0
0:42:0640:file
1
character special file 0:0
`
	if out != want {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
}
