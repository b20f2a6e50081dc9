package oci_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/oci"
	"github.com/cfs-project/cfs/runtime/stage"
)

// The published ways out of containers of runc and crun, each tried on a container whose
// files are the attacker's.

// CVE-2019-5736: overwriting the runtime by /proc/PID/exe of a process that is entering. Who
// holds that file open can write to it once it isn't executed any more, unless by the mount that
// it is known by nobody can.
func TestOverwriteRuntime(t *testing.T) {
	asRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(self)
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, `echo up; while :; do for p in /proc/[0-9]*; do
[ -e $p/exe ] && ! [ $p/exe -ef /proc/1/exe ] && sh -c "exec 9<$p/exe && chmod 755 /proc/self/fd/9 && echo changed"; done; done 2>&1`)
	b.spec.Process.Args[0] = "/bin/sh"
	c := b.start("box")
	b.prints("up")
	// What enters is the runtime itself, until it executes /proc/self/exe, which is it again.
	p, err := c.ProcessConfig()
	if err != nil {
		t.Fatal(err)
	}
	p.Args, p.Env = []string{"/proc/self/exe"}, append(p.Env, lingerVar+"=1")
	for end := time.Now().Add(20 * time.Second); !strings.Contains(b.printed(), "/proc/self/fd/9") && time.Now().Before(end); {
		if _, err := c.Exec(t.Context(), oci.ExecOptions{Process: p, Stdio: stage.Stdio{}}); err != nil {
			t.Fatal(err)
		}
	}
	// While it is executed, as it is here, nobody can write to it: what it is to others its mode tells.
	if got := b.printed(); !strings.Contains(got, "Read-only file system") || strings.Contains(got, "changed") {
		t.Errorf("printed %q", got)
	}
	after, err := os.Stat(self)
	if err != nil || after.Size() != before.Size() || after.ModTime() != before.ModTime() {
		t.Errorf("the program was written to: %v", err)
	}
}

// CVE-2024-21626: a working directory by way of a descriptor that the runtime has left open,
// to start with and in exec. Here whoever starts the runtime has left one open.
func TestWorkingDirectoryByDescriptor(t *testing.T) {
	asRoot(t)
	dir, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	left, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD, 12)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(left)
	for fd := 3; fd <= left; fd++ {
		b := newBox(t, "stat -c %d:%i . /")
		b.spec.Process.Cwd = fmt.Sprintf("/proc/self/fd/%d", fd)
		status, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")})
		// The one that is no way out is the container's own root.
		if here := strings.Fields(b.printed()); err == nil && (status != 0 || len(here) != 2 || here[0] != here[1]) {
			t.Errorf("descriptor %d is a directory to be in: %q", fd, here)
		}
	}
	b := newBox(t, "echo up; exec sleep 1000")
	c := b.start("box")
	b.prints("up")
	p, err := c.ProcessConfig()
	if err != nil {
		t.Fatal(err)
	}
	p.Args = []string{"sh", "-c", "ls ../../../.."}
	for fd := 3; fd <= left; fd++ {
		p.Cwd = fmt.Sprintf("/proc/self/fd/%d", fd)
		if s, err := c.Exec(t.Context(), oci.ExecOptions{Process: p}); err == nil {
			t.Errorf("descriptor %d is a directory to be in: status %d", fd, s)
		}
	}
}

// CVE-2025-52881: what is written to the kernel goes to the kernel, also where a volume is
// mounted over its file, with one that leads elsewhere.
func TestWritesAreNotRedirected(t *testing.T) {
	asRoot(t)
	b := newBox(t, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; umount /proc/sys/net/ipv4; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/self/oom_score_adj")
	fake, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	for _, err := range []error{
		os.WriteFile(victim, []byte("victim\n"), 0o666),
		os.Symlink("/victim", filepath.Join(fake, "ip_unprivileged_port_start")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.spec.Root.Readonly = false
	b.spec.Process.Capabilities.Bounding = append(b.spec.Process.Capabilities.Bounding, "CAP_SYS_ADMIN")
	b.spec.Process.Capabilities.Effective = append(b.spec.Process.Capabilities.Effective, "CAP_SYS_ADMIN")
	b.spec.Process.Capabilities.Permitted = append(b.spec.Process.Capabilities.Permitted, "CAP_SYS_ADMIN")
	b.spec.Linux.ReadonlyPaths, b.spec.Linux.Sysctl = nil, map[string]string{"net.ipv4.ip_unprivileged_port_start": "17"}
	score := 321
	b.spec.Process.OOMScoreAdj = &score
	b.spec.Mounts = append(b.spec.Mounts,
		specs.Mount{Destination: "/victim", Source: victim, Options: []string{"bind"}},
		specs.Mount{Destination: "/proc/sys/net/ipv4", Source: fake, Options: []string{"bind"}})
	if got := b.run(); got != "victim\n17\n321\n" {
		t.Errorf("printed %q", got)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "victim\n" {
		t.Errorf("written to another file: %q, %v", text, err)
	}
}

// CVE-2019-16884, CVE-2023-27561, CVE-2025-52881: /proc or /sys is a link of the image's, so that what
// is written to and masked would be other files.
func TestProcIsALink(t *testing.T) {
	asRoot(t)
	for _, name := range []string{"proc", "sys"} {
		b := newBox(t, "true")
		root := b.spec.Root.Path
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/tmp", filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Create(t.Context(), b.options("box")); err == nil || !strings.Contains(err.Error(), "plain directory") {
			t.Errorf("/%s is a link: %v", name, err)
		}
	}
	// Nor may a volume be mounted over it whose files stand in for the kernel's.
	b := newBox(t, "cat /proc/self/attr/current /proc/sys/kernel/hostname 2>/dev/null; stat -f -c %T /proc")
	fake := t.TempDir()
	if err := os.MkdirAll(filepath.Join(fake, "self", "attr"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/tmp", Source: fake, Options: []string{"bind"}})
	if err := os.Symlink("/proc", filepath.Join(b.spec.Root.Path, "link")); err != nil {
		t.Fatal(err)
	}
	if out := b.run(); !strings.HasSuffix(out, "proc\n") {
		t.Errorf("printed %q", out)
	}
}

// waysOut are beginnings of links that lead from a root to the host's files, if they are followed.
var waysOut = []string{"", "/../../../../..", "../../../../../../../../.."}

// CVE-2021-30465: a mount's target becomes a link to the host while it is resolved. All names
// are resolved inside the root, so wherever they lead is the container's.
func TestTargetIsSwapped(t *testing.T) {
	asRoot(t)
	b := newBox(t, "true")
	outside, src := t.TempDir(), t.TempDir()
	root := b.spec.Root.Path
	dir := filepath.Join(root, "swapped")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Mkdir(dir, 0o755)
			_ = os.Remove(dir)
			for _, way := range waysOut {
				_ = os.Symlink(way+outside, dir)
				_ = os.Remove(dir)
			}
		}
	}()
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/swapped/x", Source: src, Options: []string{"bind"}})
	for range 10 {
		c, _, err := b.Create(t.Context(), b.options("box"))
		if err == nil {
			err = c.Delete(true)
		}
		_ = err // it may fail, but not reach the host
		if left, _ := os.ReadDir(outside); len(left) > 0 {
			t.Fatalf("made %v outside the root", left)
		}
	}
	close(stop)
	<-done
	for _, way := range waysOut { // and where it is one all the time
		_ = os.RemoveAll(dir)
		if err := os.Symlink(way+outside, dir); err != nil {
			t.Fatal(err)
		}
		c, _, err := b.Create(t.Context(), b.options("box"))
		if err == nil {
			err = c.Delete(true)
		}
		if left, _ := os.ReadDir(outside); len(left) > 0 {
			t.Fatalf("made %v outside the root (%v)", left, err)
		}
	}
}

// CVE-2025-31133, CVE-2025-52565: /dev/null or /dev/console is a link of the image's to a
// file that would then be mounted where it is masked, or made writable by the terminal's
// place.
func TestDevicesAreLinks(t *testing.T) {
	asRoot(t)
	b := newBox(t, "cat /proc/sysrq-trigger /proc/keys 2>/dev/null; stat -c %F /proc/keys; ls -l /dev/null | cut -c1")
	root := b.spec.Root.Path
	var mounts []specs.Mount
	for _, m := range b.spec.Mounts { // its own /dev, which the image has
		if !strings.HasPrefix(m.Destination, "/dev") {
			mounts = append(mounts, m)
		}
	}
	b.spec.Mounts, b.spec.Root.Readonly = mounts, false
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "dev"), 0o755), os.RemoveAll(filepath.Join(root, "dev", "null")),
		os.Symlink("/proc/sysrq-trigger", filepath.Join(root, "dev", "null")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	o := b.options("box")
	_, _, err := b.Create(t.Context(), o)
	if err == nil { // what was masked is masked by the host's null device
		c, err := b.Open("box")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, c, specs.StateStopped)
		if err := c.Delete(false); err != nil {
			t.Fatal(err)
		}
		if got := b.printed(); strings.Contains(got, "regular") {
			t.Errorf("printed %q", got)
		}
		return
	}
	if !strings.Contains(err.Error(), "/dev/null") {
		t.Errorf("%v", err)
	}
}

// CVE-2025-52565, of the terminal: what is to be the container's terminal is not looked for
// by way of a link of the image's.
func TestTerminalIsALink(t *testing.T) {
	asRoot(t)
	b := newBox(t, "true")
	b.spec.Process.Terminal, b.spec.Root.Readonly = true, false
	var mounts []specs.Mount
	for _, m := range b.spec.Mounts { // its own /dev, which the image has
		if !strings.HasPrefix(m.Destination, "/dev") {
			mounts = append(mounts, m)
		}
	}
	b.spec.Mounts = mounts
	at := filepath.Join(b.spec.Root.Path, "dev/pts/ptmx")
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"/proc/sysrq-trigger", "/dev/null", "../../../../../../../dev/ptmx"} {
		_ = os.Remove(at)
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
		_, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")})
		if err == nil || !strings.Contains(err.Error(), "/dev/pts/ptmx") {
			t.Errorf("/dev/pts/ptmx is a link to %s: %v", to, err)
		}
	}
}

// CVE-2025-52565: where the terminal is shown as /dev/console there may be a link of the
// image's, and what that leads to is left as it was.
func TestConsoleIsALink(t *testing.T) {
	asRoot(t)
	b := newBox(t, "for f in /dev/console /etc/passwd /proc/keys; do stat -c '%n: %F' $f; done; tty </dev/console")
	b.spec.Process.Terminal, b.spec.Root.Readonly = true, false
	b.spec.Mounts = slices.DeleteFunc(b.spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") }) // the image's own
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}})
	root := b.spec.Root.Path
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "dev"), 0o755), os.MkdirAll(filepath.Join(root, "etc"), 0o755),
		os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/:/bin/sh\n"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	at := filepath.Join(root, "dev/console")
	for _, to := range []string{"/proc/keys", "/etc/passwd", "/nosuch/file", "../../../../../../../etc/passwd", "console"} {
		_ = os.Remove(at)
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
		if err := b.out.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := b.out.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		status, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")})
		got := strings.ReplaceAll(b.printed(), "\r", "")
		// What is masked is masked by the null device.
		want := "/dev/console: character special file\n/etc/passwd: regular file\n/proc/keys: character special file\n/dev/console\n"
		if err != nil || status != 0 || got != want {
			t.Errorf("a link to %s: status %d, %v, printed %q", to, status, err, got)
		}
	}
}

// CVE-2026-41579, CVE-2026-88264: /dev or /dev/console of the image is a link to a place of the host, where
// the devices and links of a container, or what its terminal is mounted on, would be made.
func TestDevIsALink(t *testing.T) {
	asRoot(t)
	for _, there := range []bool{false, true} { // what the link leads to is there in the root, too
		for _, own := range []bool{false, true} { // a file system is mounted at /dev
			for n, name := range []string{"dev", "dev/console", "dev", "dev/console", "dev", "dev/console"} {
				b := newBox(t, "true")
				b.spec.Process.Terminal, b.spec.Root.Readonly = true, false
				if !own {
					b.spec.Mounts = slices.DeleteFunc(b.spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
					b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}})
				}
				root, outside := b.spec.Root.Path, t.TempDir()
				to := outside
				if name == "dev/console" {
					to = filepath.Join(outside, "console")
				}
				at := filepath.Join(root, name)
				for _, err := range []error{os.RemoveAll(at), os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(waysOut[n/2]+to, at)} {
					if err != nil {
						t.Fatal(err)
					}
				}
				if there {
					if err := os.MkdirAll(filepath.Join(root, outside), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				_, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")})
				left, e := os.ReadDir(outside)
				if e != nil || len(left) > 0 {
					t.Errorf("/%s, %v, %v (%v): made %v on the host (%v)", name, there, own, err, left, e)
				}
			}
		}
	}
}

// CVE-2026-88265: /dev/null of the image is a link to a file of the host that is bound into the
// container: the process's files are not made that one, nor does it become the process's user's.
func TestNullIsAFileOfTheHost(t *testing.T) {
	asRoot(t)
	b := newBox(t, "echo said; cat")
	b.spec.Root.Readonly, b.spec.Process.User = false, specs.User{UID: 1000, GID: 1000}
	b.spec.Mounts = slices.DeleteFunc(b.spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
	file := filepath.Join(t.TempDir(), "file")
	at := filepath.Join(b.spec.Root.Path, "dev", "null")
	for _, err := range []error{
		os.WriteFile(file, []byte("the host's\n"), 0o644), os.MkdirAll(filepath.Dir(at), 0o755), os.RemoveAll(at), os.Symlink("/bound", at),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/bound", Source: file, Options: []string{"bind"}})
	// Nothing is standard input, and a pipe the other two.
	o := b.options("box")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o.Stdio = stage.Stdio{Out: w, Err: w}
	_, err = b.Run(t.Context(), oci.RunOptions{CreateOptions: o})
	w.Close()
	said, e := io.ReadAll(r)
	if e != nil || err == nil && string(said) != "said\n" {
		t.Errorf("printed %q: %v, %v", said, err, e)
	}
	var st unix.Stat_t
	text, e := os.ReadFile(file)
	if e != nil || string(text) != "the host's\n" || unix.Stat(file, &st) != nil || st.Uid != 0 {
		t.Errorf("the host's file is %d's and has %q: %v", st.Uid, text, e)
	}
}

// CVE-2022-29162: what exec starts has no inheritable capability that nobody asked for.
func TestInheritableCapabilities(t *testing.T) {
	asRoot(t)
	b := newBox(t, "grep CapInh /proc/self/status; echo up; exec sleep 1000")
	c := b.start("box")
	b.prints("up")
	if s := b.exec(c, "grep CapInh /proc/self/status"); s != 0 || strings.Count(b.printed(), "CapInh:\t0000000000000000\n") != 2 {
		t.Errorf("status %d, printed %q", s, b.printed())
	}
}

// What a container of this runtime finds open: its own three.
func TestNoDescriptors(t *testing.T) {
	asRoot(t)
	b := newBox(t, "ls /proc/self/fd | tr '\\n' ' '; ls -l /proc/1/fd | grep -c -e socket -e cfs-test")
	status, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")})
	if err != nil || status != 1 && status != runtime.StatusFailed { // grep counts none
		t.Fatal(status, err)
	}
	if got := b.printed(); got != "0 1 2 3 0\n" {
		t.Errorf("printed %q", got)
	}
}
