package unionfs

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestParseOptions(t *testing.T) {
	id := func(v uint32) *uint32 { return &v }
	for _, c := range []struct {
		in   string
		want func(l *MountLine)
		warn []string
	}{
		{"lowerdir=A:B,upperdir=U,workdir=W,,volatile", func(l *MountLine) {
			l.LowerDirs, l.Upper, l.Work, l.Volatile = []string{"A", "B"}, "U", "W", true
		}, nil},
		{"lowerdir=A,upperdir=U,workdir=W,", func(l *MountLine) { l.LowerDirs, l.Upper, l.Work = []string{"A"}, "U", "W" }, nil},
		{"lowerdir=l/ABC:l/DEF", func(l *MountLine) { l.LowerDirs = []string{"l/ABC", "l/DEF"} }, nil},
		{`lowerdir=:a\:b:c\,d:e\\f:`, func(l *MountLine) { l.LowerDirs = []string{"a:b", "c,d", `e\f`} }, nil},
		{"lowerdir=A,uidmapping=:0:100000:65536,gidmapping=0:1:1501:1501:0:1", func(l *MountLine) {
			l.LowerDirs = []string{"A"}
			l.UIDMap, l.GIDMap = []IDRange{{0, 100000, 65536}}, []IDRange{{0, 1, 1501}, {1501, 0, 1}}
		}, nil},
		{"lowerdir=A,uidmapping=0:100000:1000,1000:1000:1,noacl,x-systemd.automount,metacopy=off,partial=off,index=off", func(l *MountLine) {
			l.LowerDirs, l.UIDMap = []string{"A"}, []IDRange{{0, 100000, 1000}, {1000, 1000, 1}}
			l.NoACL, l.NoMetacopy, l.NoPartial = true, true, true
		}, nil},
		{"lowerdir=A,upperdir=U,workdir=W,index=on", func(l *MountLine) {
			l.LowerDirs, l.Upper, l.Work, l.LinkIndex = []string{"A"}, "U", "W", true
		}, nil},
		{"lowerdir=A,index=on", func(l *MountLine) { l.LowerDirs = []string{"A"} }, []string{"no effect: index=on without upperdir"}},
		{"lowerdir=A,copyup=open,passthrough", func(l *MountLine) {
			l.LowerDirs, l.CopyUpAtOpen, l.Passthrough = []string{"A"}, true, true
		}, nil},
		{"lowerdir=A,copyup=open,passthrough,copyup=write,nopassthrough", func(l *MountLine) { l.LowerDirs = []string{"A"} }, nil},
		{"lowerdir=A,squash_to_root,squash_to_uid=7", func(l *MountLine) {
			l.LowerDirs, l.SquashUID, l.SquashGID = []string{"A"}, id(7), id(0)
		}, nil},
		{"lowerdir=A,squash_to_gid=9,squash_to_root", func(l *MountLine) {
			l.LowerDirs, l.SquashUID, l.SquashGID = []string{"A"}, id(0), id(9)
		}, nil},
		{"lowerdir=A,xattr_permissions=2,userxattr,redirect_dir=off,noacl,fsname=x\\,y,nodev,noexec,nosuid", func(l *MountLine) {
			l.LowerDirs, l.Override, l.Xattr, l.NoRedirect, l.NoACL = []string{"A"}, OverrideAlways, XattrUser, true, true
			l.Source, l.NoExec, l.Suid = "x,y", true, false
		}, nil},
		{"lowerdir=A,static_nlink,debug,fsync=0,fast_ino=0,threaded=1,xino=auto,writeback=0,noxattrs=0,plugins=", func(l *MountLine) {
			l.LowerDirs, l.StaticNlink, l.Debugging, l.Volatile = []string{"A"}, true, true, true
		}, nil},
		{"lowerdir=A,xino=off,threaded=0,writeback=1,timeout=5,fsync=1", func(l *MountLine) { l.LowerDirs = []string{"A"} },
			[]string{"no effect: xino=off", "no effect: threaded=0", "no effect: writeback=1", "no effect: timeout=5"}},
		{`lowerdir=A,context="system_u:object_r:container_file_t:s0:c1,c2,c3",nodev,rootcontext=x,fscontext="y"`, func(l *MountLine) {
			l.LowerDirs = []string{"A"}
			l.Labels = []string{`context="system_u:object_r:container_file_t:s0:c1,c2,c3"`, "rootcontext=x", `fscontext="y"`}
		}, nil},
		{"lowerdir=A,upperdir=U,workdir=W,ro", func(l *MountLine) { l.LowerDirs, l.ReadOnly = []string{"U", "A"}, true }, nil},
		{"lowerdir=A,whatever,foo=bar,workdir=W", func(l *MountLine) { l.LowerDirs = []string{"A"} },
			[]string{"unknown option whatever", "unknown option foo=bar", "workdir without upperdir"}},
	} {
		want := MountLine{MountOptions: MountOptions{Permissions: true, AllowOther: unix.Geteuid() == 0, Suid: unix.Geteuid() == 0}}
		c.want(&want)
		want.Warnings = c.warn
		got, err := ParseOptions(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(Options{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.in, d)
		}
	}
	for _, in := range []string{
		"", "upperdir=U,workdir=W", "lowerdir=", "lowerdir=A,upperdir=U", "lowerdir=A,uidmapping=1:2", "lowerdir=A,gidmapping=a:b:c",
		"lowerdir=A,squash_to_uid=-1", "lowerdir=A,xattr_permissions=1", "lowerdir=A,redirect_dir=maybe", "lowerdir=A,max_write=x",
		"lowerdir=A,uidmapping=0:0:4294967296", "lowerdir=A,metacopy=maybe", "lowerdir=A,partial=", "lowerdir=A,copyup=late", "lowerdir=A,index=maybe",
		"lowerdir=A,xino=maybe", "lowerdir=A,threaded=yes", "lowerdir=A,noxattrs=1", "lowerdir=A,plugins=x", "lowerdir=A,fsync=", "lowerdir=A,uidmapping=0:0:1,5:6",
	} {
		if _, err := ParseOptions(in); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%q: %v, want EINVAL", in, err)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("lowerdir=A:B,upperdir=U,workdir=W,,volatile,uidmapping=:0:1:2")
	f.Add(`lowerdir=a\:b\\:c\`)
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseOptions(s)
		if err != nil {
			return
		}
		if len(l.LowerDirs) == 0 || (l.Upper == "") != (l.Work == "") {
			t.Errorf("%q: %+v", s, l)
		}
		for _, d := range l.LowerDirs {
			esc := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`).Replace(d)
			again, err := ParseOptions("lowerdir=" + esc)
			if err != nil || len(again.LowerDirs) != 1 || again.LowerDirs[0] != d {
				t.Errorf("%q does not survive escaping: %q, %v", d, again.LowerDirs, err)
			}
		}
	})
}

func TestOverride(t *testing.T) {
	for s, want := range map[string]overrideStat{
		"0:0:755":               {perm: 0o755},
		"1:2:0644:file":         {uid: 1, gid: 2, perm: 0o644, typ: unix.S_IFREG},
		"0:0:0755:dir":          {perm: 0o755, typ: unix.S_IFDIR},
		"5:6:0777:symlink":      {uid: 5, gid: 6, perm: 0o777, typ: unix.S_IFLNK},
		"0:0:4711:pipe":         {perm: 0o4711, typ: unix.S_IFIFO},
		"0:0:0600:socket":       {perm: 0o600, typ: unix.S_IFSOCK},
		"0:6:0660:block-8-300":  {gid: 6, perm: 0o660, typ: unix.S_IFBLK, rdev: uint32(unix.Mkdev(8, 300))},
		"0:0:0666:char-1-3":     {perm: 0o666, typ: unix.S_IFCHR, rdev: uint32(unix.Mkdev(1, 3))},
		"4294967295:0:0:file":   {uid: 1<<32 - 1, typ: unix.S_IFREG},
		"0:0:0666:char-4095-17": {perm: 0o666, typ: unix.S_IFCHR, rdev: uint32(unix.Mkdev(4095, 17))},
	} {
		got, err := parseOverride(s)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
		if again, err := parseOverride(got.String()); err != nil || again != got {
			t.Errorf("%s: written as %s, read as %+v, %v", s, got, again, err)
		}
	}
	for _, s := range []string{"", "0:0", "0:0:9", "0:0:10000", "-1:0:0", "0:0:0:x", "0:0:0:char", "0:0:0:char-1", "0:0:0:file-1-2", "0:0:0:file:", "0:0:0:block-5000-1"} {
		if o, err := parseOverride(s); err == nil {
			t.Errorf("%q was read as %+v", s, o)
		}
	}
}

func FuzzParseOverride(f *testing.F) {
	f.Add("1:2:0644:char-1-3")
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOverride(s)
		if err != nil {
			return
		}
		if again, err := parseOverride(o.String()); err != nil || again != o {
			t.Errorf("%q: %+v written as %s, read as %+v, %v", s, o, o, again, err)
		}
	})
}

func TestIDMap(t *testing.T) {
	m := idMap{ranges: []IDRange{{0, 1000, 1}, {1, 2000, 10}}, squash: -1}
	for disk, shown := range map[uint32]uint32{0: 1000, 1: 2000, 10: 2009, 11: overflowID} {
		if got := m.in(disk); got != shown {
			t.Errorf("in(%d) = %d, want %d", disk, got, shown)
		}
		if got, ok := m.exactly(shown); ok != (shown != overflowID) || ok && got != disk {
			t.Errorf("exactly(%d) = %d, %v", shown, got, ok)
		}
		if got := m.out(shown); shown != overflowID && got != disk || shown == overflowID && got != overflowID {
			t.Errorf("out(%d) = %d", shown, got)
		}
	}
	known, err := parseIDMap(strings.NewReader("         0       1000          1\n         1     100000      65536\n"))
	if err != nil {
		t.Fatal(err)
	}
	m = idMap{squash: -1, shown: known}
	for disk, shown := range map[uint32]uint32{0: 0, 33: 33, 65536: 65536, 65537: 0} {
		if got := m.in(disk); got != shown {
			t.Errorf("in a namespace: in(%d) = %d, want %d", disk, got, shown)
		}
	}
	if known, err := parseIDMap(strings.NewReader("0 0 4294967295\n")); known != nil || err != nil {
		t.Errorf("the host's map: %v, %v", known, err)
	}
	if got := (&idMap{squash: 5}).in(7); got != 5 {
		t.Errorf("squash: %d", got)
	}
}

func TestTable(t *testing.T) {
	var tab table
	tab.next = 1
	var nodes []*node
	for range 10_000 {
		n := new(node)
		if !tab.add(n) {
			t.Fatal("full")
		}
		nodes = append(nodes, n)
	}
	for i, n := range nodes {
		if n.id != uint64(i+1) || tab.get(n.id) != n {
			t.Fatalf("node %d has id %d", i, n.id)
		}
	}
	tab.remove(nodes[4])
	again := new(node)
	tab.add(again)
	if again.id != nodes[4].id || again.gen == nodes[4].gen {
		t.Errorf("id %d gen %d was used again as %d gen %d", nodes[4].id, nodes[4].gen, again.id, again.gen)
	}
	for _, id := range []uint64{0, 1 << 20, 1 << 40, ^uint64(0)} {
		if tab.get(id) != nil {
			t.Errorf("id %d has a node", id)
		}
	}
}

func TestHandles(t *testing.T) {
	c := newHandles(32) // two a shard
	open := func() *handle {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return newHandle(fd, false)
	}
	isOpen := func(h *handle) bool { _, err := unix.FcntlInt(uintptr(h.fd), unix.F_GETFD, 0); return err == nil }
	a, b, d := open(), open(), open()
	c.add(0, "a", a)
	c.add(0, "b", b)
	b.put()
	if got := c.get(0, "a"); got != a {
		t.Fatal("a is lost")
	}
	c.add(0, "d", d) // b goes
	d.put()
	if c.get(0, "b") != nil || isOpen(b) {
		t.Error("b is still there")
	}
	c.purge()
	if isOpen(d) || !isOpen(a) {
		t.Error("purge closed what is in use, or left what is not")
	}
	a.put()
	a.put()
	if isOpen(a) {
		t.Error("a is open after its last put")
	}
}
