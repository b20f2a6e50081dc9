package imagecmd

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	bind := func(source, target, spec, mode string, options ...string) MountOption {
		return MountOption{Type: "bind", Source: source, Target: target, Options: options, MakeSource: true, Spec: spec, Mode: mode}
	}
	for s, want := range map[string]MountOption{
		"/a:/b":                  bind("/a", "/b", "/a:/b", "", "rbind", "rw", "rprivate"),
		"/a/../c:/b/:ro,z":       bind("/c", "/b", "/c:/b/:ro,z", "ro,z", "rbind", "rro", "rprivate"),
		"/a:/b:bind,rslave,rw,Z": bind("/a", "/b", "/a:/b:bind,rslave,rw,Z", "bind,rslave,rw,Z", "bind", "rw", "rslave"),
		"/a:/b:cached":           bind("/a", "/b", "/a:/b:cached", "cached", "rbind", "rw", "rprivate"),
		"/a":                     {Type: "volume", Target: "/a", Anonymous: true, Options: []string{"rbind", "rw", "rprivate"}},
		"name:/b":                {Type: "volume", Source: "name", Target: "/b", Spec: "name:/b", Options: []string{"rbind", "rw", "rprivate"}},
		"name:/b:nocopy,ro":      {Type: "volume", Source: "name", Target: "/b", Spec: "name:/b:nocopy,ro", Mode: "nocopy,ro", NoCopy: true, Options: []string{"rbind", "rro", "rprivate"}},
	} {
		got, err := ParseVolume(s)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", s, err, diff)
		}
	}
	for _, s := range []string{
		"", ":", "a", "/", "/a:b", "/a:/", "/a:/b:x", "/a:/b:ro:z", ":/b", "/a:", "n:/b", "na/me:/b", "name:/", "name:/b:rshared", "/a:/b:nocopy", "/a:/b:", "name:/b:ro,,rw",
	} {
		if m, err := ParseVolume(s); err == nil {
			t.Errorf("%q: %+v", s, m)
		}
	}
	tmpfs := []string{"nosuid", "nodev", "noexec"}
	for s, want := range map[string]MountOption{
		"type=bind,source=/a,target=/b":                           {Type: "bind", Source: "/a", Target: "/b", Options: []string{"rbind", "rw", "rprivate"}},
		"type=bind,src=/a,dst=/b,ro,bind-propagation=rshared":     {Type: "bind", Source: "/a", Target: "/b", Options: []string{"rbind", "rro", "rshared"}},
		"type=bind,src=/a,dst=/b,ro,bind-recursive=writable":      {Type: "bind", Source: "/a", Target: "/b", Options: []string{"rbind", "ro", "rprivate"}},
		"type=bind,src=/a,dst=/b,bind-recursive=disabled":         {Type: "bind", Source: "/a", Target: "/b", Options: []string{"bind", "rw", "rprivate"}},
		"type=bind,src=/a,dst=/b,bind-create-src,ro=false":        {Type: "bind", Source: "/a", Target: "/b", Options: []string{"rbind", "rw", "rprivate"}, MakeSource: true},
		"type=tmpfs,destination=/b,tmpfs-size=1k,tmpfs-mode=0700": {Type: "tmpfs", Target: "/b", Options: append(tmpfs, "mode=0700", "size=1024")},
		`type=bind,"src=/a,b",dst=/b,consistency=cached`:          {Type: "bind", Source: "/a,b", Target: "/b", Options: []string{"rbind", "rw", "rprivate"}},
		"dst=/b": {Type: "volume", Target: "/b", Anonymous: true, Options: []string{"rbind", "rw", "rprivate"}},
		"type=volume,src=vol,dst=/b,volume-nocopy,volume-subpath=x/y,volume-label=a=b,volume-label=c,volume-driver=local,readonly": {
			Type: "volume", Source: "vol", Target: "/b", NoCopy: true, Subpath: "x/y", Labels: map[string]string{"a": "b", "c": ""}, Options: []string{"rbind", "rro", "rprivate"},
		},
		"src=vol,dst=/b,volume-opt=o=bind,volume-opt=device=/d": {
			Type: "volume", Source: "vol", Target: "/b", DriverOptions: map[string]string{"o": "bind", "device": "/d"}, Options: []string{"rbind", "rw", "rprivate"},
		},
	} {
		want.Long = true
		got, err := ParseMount(s)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", s, err, diff)
		}
	}
	for _, s := range []string{"", "type=bind,src=/a", "type=bind,dst=/a", "type=bind,src=a,dst=/a", "type=tmpfs,src=/a,dst=/a", "type=npipe,dst=/a",
		"type=tmpfs,dst=/a,ro=maybe", "type=tmpfs,dst=/a,tmpfs-size=big", "type=bind,src=/a,dst=/b,bind-propagation=up", "x=y", "src=,dst=/a", "dst",
		"type=bind,src=/a,dst=/b,volume-nocopy", "src=vol,dst=/b,bind-propagation=rshared", "src=vol,dst=/b,tmpfs-size=1k", "src=vol,dst=/b,volume-subpath=../x",
		"src=vol,dst=/b,volume-subpath=/x", "dst=/b,volume-subpath=x", "src=vol,dst=/b,volume-driver=nfs", "src=vol,dst=/b,volume-opt=size=1", "src=vol,dst=/b,volume-opt=x",
		"src=v,dst=/b", "type=bind,src=/a,dst=/b,bind-recursive=maybe", "src=vol,dst=/b,consistency=x", `type=bind,"src=/a`} {
		if m, err := ParseMount(s); err == nil {
			t.Errorf("%q: %+v", s, m)
		}
	}
	got, err := ParseTmpfs("/t:exec,size=1m")
	if diff := cmp.Diff(MountOption{Type: "tmpfs", Target: "/t", Mode: "exec,size=1m", Options: []string{"nosuid", "nodev", "exec", "size=1m"}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// FuzzMounts parses what people may say: whatever is accepted can be mounted somewhere
// below the root.
func FuzzMounts(f *testing.F) {
	for _, s := range []string{"/a:/b:ro,z", "name:/b:nocopy", "/anon", "type=bind,src=/a,dst=/b", "src=vol,dst=/b,volume-subpath=x/y", "type=tmpfs,dst=/t,tmpfs-size=1m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (MountOption, error){ParseVolume, ParseMount, ParseTmpfs} {
			m, err := parse(s)
			if err != nil {
				continue
			}
			if !strings.HasPrefix(m.Target, "/") || m.Target == "/" || path.Clean(m.Target) != m.Target {
				t.Errorf("%q: target %q", s, m.Target)
			}
			if m.Type == "bind" && !strings.HasPrefix(m.Source, "/") || m.Type == "volume" && m.Source != "" && checkVolumeName(m.Source) != nil {
				t.Errorf("%q: source %q", s, m.Source)
			}
			if strings.HasPrefix(path.Clean(m.Subpath), "..") {
				t.Errorf("%q: subpath %q", s, m.Subpath)
			}
		}
	})
}

func TestParseDevice(t *testing.T) {
	for s, want := range map[string]DeviceOption{
		"/dev/a": {"/dev/a", "/dev/a", ""}, "/dev/a:/dev/b": {"/dev/a", "/dev/b", ""}, "/dev/a:rwm": {"/dev/a", "/dev/a", "rwm"}, "/dev/a:/dev/b:r": {"/dev/a", "/dev/b", "r"},
	} {
		if got, err := ParseDevice(s); got != want || err != nil {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "a", "/dev/a:b", "/dev/a:/b:/c:rwm"} {
		if got, err := ParseDevice(s); err == nil {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func TestResolvConf(t *testing.T) {
	const host = "# mine\nnameserver 1.1.1.1\nsearch a b\noptions x"
	for _, tc := range []struct {
		o    ShapeOptions
		want string
	}{
		{ShapeOptions{}, host},
		{ShapeOptions{DNS: []string{"2.2.2.2", "3.3.3.3"}}, "# mine\nsearch a b\noptions x\nnameserver 2.2.2.2\nnameserver 3.3.3.3\n"},
		{ShapeOptions{DNSSearch: []string{"."}, DNSOptions: []string{"y", "z"}}, "# mine\nnameserver 1.1.1.1\noptions y z\n"},
	} {
		if got := askedResolvConf(host, ContainerOptions{ShapeOptions: tc.o}); got != tc.want {
			t.Errorf("%+v: %q", tc.o, got)
		}
	}
}

func TestCheckShape(t *testing.T) {
	bad := 2000
	for what, o := range map[string]ShapeOptions{
		"capability": {CapAdd: []string{"x"}}, "ulimit": {Ulimits: []string{"x"}}, "mount point": {Mounts: []MountOption{{Target: "/a"}, {Target: "/a"}}},
		"ip address": {DNS: []string{"x"}}, "oom": {OOMScoreAdj: &bad},
	} {
		if err := o.CheckShape(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ParseSize("shm-size", "0"); err == nil {
		t.Error("a size of 0")
	}
	if _, err := ParseSysctls([]string{"x"}); err == nil {
		t.Error("a sysctl without value")
	}
}
