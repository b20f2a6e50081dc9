package oci_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/oci"
)

// linuxOptions are those of the specification's table (config.md, "Linux mount options"),
// but for those that need another mount or a mapping.
const linuxOptions = `async atime defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev
nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime
rdev rdiratime relatime rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid
rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow
runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable`

// Each option of the table is one that features names, and that mounts can have: new ones and
// bound ones.
func TestEveryMountOption(t *testing.T) {
	asRoot(t)
	b := newBox(t, "grep -c ' /new/' /proc/self/mountinfo; grep -c ' /bound/' /proc/self/mountinfo; "+
		"for o in ro rro nosuid noexec nodiratime noatime nosymfollow sync dirsync lazytime mand; do grep \" /new/$o \" /proc/self/mountinfo | sed 's/.*\\/new/\\/new/'; done")
	known := oci.Features().MountOptions
	for _, o := range append(strings.Fields(linuxOptions), "remount", "bind", "rbind", "idmap", "ridmap") {
		if !slices.Contains(known, o) {
			t.Errorf("features do not name %s", o)
		}
	}
	source := t.TempDir()
	options := strings.Fields(linuxOptions)
	for _, o := range options {
		b.spec.Mounts = append(b.spec.Mounts,
			specs.Mount{Destination: "/new/" + o, Type: "tmpfs", Source: "tmpfs", Options: []string{o}},
			specs.Mount{Destination: "/bound/" + o, Type: "none", Source: source, Options: []string{"rbind", o}})
	}
	got := b.run()
	lines := strings.Split(got, "\n")
	for n, line := range lines[:2] {
		if line != lines[0] || len(options) < 50 || line != strconv.Itoa(len(options)) {
			t.Errorf("line %d: %s mounts of %d", n, line, len(options))
		}
	}
	for o, want := range map[string]string{
		"ro": "/new/ro ro,", "rro": "/new/rro ro,", "nosuid": ",nosuid,", "noexec": ",noexec,", "noatime": ",noatime ",
		"nodiratime": ",nodiratime", "nosymfollow": ",nosymfollow", "sync": "rw,sync", "dirsync": "rw,dirsync", "lazytime": "rw,lazytime",
	} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "/new/"+o+" ") && strings.Contains(l+" ", want) }) {
			t.Errorf("%s has no effect:\n%s", o, got)
		}
	}
}

// remount changes what is named of a mount that is there, and nothing of the host's.
func TestRemount(t *testing.T) {
	asRoot(t)
	host := t.TempDir()
	b := newBox(t, "grep -E ' /(a|b) ' /proc/self/mountinfo | cut -d' ' -f5,6,9-; touch /b/x 2>/dev/null || echo refused; df -k /a | tail -1 | while read d size rest; do echo $size; done")
	b.spec.Mounts = append(b.spec.Mounts,
		specs.Mount{Destination: "/a", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "size=64k", "noatime"}},
		specs.Mount{Destination: "/a", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "noexec", "size=128k"}},
		specs.Mount{Destination: "/b", Source: host, Options: []string{"bind", "nodev", "noatime"}},
		specs.Mount{Destination: "/b", Source: "none", Options: []string{"remount", "bind", "ro"}})
	got := b.run()
	for _, want := range []string{"/a rw,nosuid,noexec,noatime ", "/b ro,nodev,noatime ", "\nrefused\n128\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if err := os.WriteFile(filepath.Join(host, "y"), nil, 0o600); err != nil {
		t.Errorf("the host's directory: %v", err)
	}
	for text, m := range map[string]specs.Mount{
		"nothing is mounted there": {Destination: "/etc", Options: []string{"remount", "ro"}},
		"no such file":             {Destination: "/nosuch", Options: []string{"remount", "ro"}},
		"option nosuch=1":          {Destination: "/dev/shm", Type: "tmpfs", Options: []string{"remount", "nosuch=1"}},
	} {
		b := newBox(t, "true")
		if err := os.MkdirAll(filepath.Join(b.spec.Root.Path, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		b.spec.Mounts = append(b.spec.Mounts, m)
		if _, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %s", m, err, text)
		}
	}
}

// A container without a process can be created, told of and deleted, and not started.
func TestNoProcess(t *testing.T) {
	asRoot(t)
	b := newBox(t, "")
	b.spec.Process = nil
	c := b.create("box")
	if got := c.Status(); got != specs.StateCreated {
		t.Errorf("it is %s", got)
	}
	if err := c.Start(); !errors.Is(err, runtime.ErrInvalid) || !strings.Contains(err.Error(), "process is missing") {
		t.Errorf("started: %v", err)
	}
	if got := c.Status(); got != specs.StateCreated || !c.Process.Alive() {
		t.Errorf("after an error that is to change nothing it is %s", got)
	}
	// What is entered brings a process of its own.
	p := oci.Template(false).Process
	p.Args, p.Terminal = []string{"true"}, false
	if status, err := c.Exec(t.Context(), oci.ExecOptions{Process: p}); err != nil || status != 0 {
		t.Errorf("exec: %d, %v", status, err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Error(err)
	}
	await(t, c, specs.StateStopped)
	if err := c.Delete(false); err != nil {
		t.Error(err)
	}
}

// A device is made where nothing is, and what is there instead is an error; those outside
// /dev are made also where /dev is the host's.
func TestListedDevices(t *testing.T) {
	asRoot(t)
	null := func(path string) specs.LinuxDevice {
		return specs.LinuxDevice{Path: path, Type: "c", Major: 1, Minor: 3}
	}
	b := newBox(t, "for f in /elsewhere/null /dev/mine; do stat -c '%F %t:%T %a %u' $f; done 2>&1")
	mode, uid := os.FileMode(0o640), uint32(7)
	elsewhere := null("/elsewhere/null")
	elsewhere.FileMode, elsewhere.UID = &mode, &uid
	b.spec.Root.Readonly = false
	b.spec.Linux.Devices = []specs.LinuxDevice{elsewhere, null("/dev/mine")}
	if got := b.run(); got != "character special file 1:3 640 7\ncharacter special file 1:3 666 0\n" {
		t.Errorf("printed %q", got)
	}

	b = newBox(t, "stat -c '%F %t:%T' /elsewhere/null; ls -d /dev/mine 2>&1")
	b.spec.Root.Readonly = false
	b.spec.Mounts = slices.DeleteFunc(b.spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/dev", Source: "/dev", Options: []string{"rbind"}})
	b.spec.Linux.Devices = []specs.LinuxDevice{null("/elsewhere/null"), null("/dev/mine")}
	status, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")})
	if err != nil || status == 0 || !strings.HasPrefix(b.printed(), "character special file 1:3\n") {
		t.Errorf("with the host's /dev: %d, %v, printed %q", status, err, b.printed())
	}
	if _, err := os.Lstat("/dev/mine"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the host has got the device: %v", err)
	}

	for name, make := range map[string]func(string) error{
		"a file":         func(p string) error { return os.WriteFile(p, nil, 0o644) },
		"a link":         func(p string) error { return os.Symlink("/dev/null", p) },
		"another device": func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
	} {
		b := newBox(t, "true")
		b.spec.Root.Readonly = false
		if err := make(filepath.Join(b.spec.Root.Path, "there")); err != nil {
			t.Fatal(err)
		}
		b.spec.Linux.Devices = []specs.LinuxDevice{null("/there")}
		if _, err := b.Run(t.Context(), oci.RunOptions{CreateOptions: b.options("box")}); err == nil || !strings.Contains(err.Error(), "make device /there: there is another file") {
			t.Errorf("over %s: %v", name, err)
		}
	}
}
