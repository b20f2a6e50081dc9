package imagecmd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	for s, want := range map[string]MountOption{
		"/a:/b":                  {Type: "bind", Source: "/a", Target: "/b", Options: []string{"rbind", "rw", "rprivate"}, MakeSource: true},
		"/a/../c:/b/:ro,z":       {Type: "bind", Source: "/c", Target: "/b", Options: []string{"rbind", "rro", "rprivate"}, MakeSource: true},
		"/a:/b:bind,rslave,rw,Z": {Type: "bind", Source: "/a", Target: "/b", Options: []string{"bind", "rw", "rslave"}, MakeSource: true},
	} {
		got, err := ParseVolume(s)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", s, err, diff)
		}
	}
	for _, s := range []string{"", ":", "/a", "a", "/a:b", "/a:/", "/a:/b:x", "/a:/b:ro:z", ":/b", "/a:", "name:/b"} {
		if m, err := ParseVolume(s); err == nil {
			t.Errorf("%q: %+v", s, m)
		}
	}
	for s, want := range map[string]MountOption{
		"type=bind,source=/a,target=/b":                           {Type: "bind", Source: "/a", Target: "/b", Options: []string{"rbind", "rw", "rprivate"}},
		"type=bind,src=/a,dst=/b,ro,bind-propagation=rshared":     {Type: "bind", Source: "/a", Target: "/b", Options: []string{"rbind", "rro", "rshared"}},
		"type=tmpfs,destination=/b,tmpfs-size=1k,tmpfs-mode=0700": {Type: "tmpfs", Target: "/b", Options: []string{"nosuid", "nodev", "noexec", "mode=0700", "size=1024"}},
	} {
		got, err := ParseMount(s)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", s, err, diff)
		}
	}
	for _, s := range []string{"", "type=bind,src=/a", "type=bind,dst=/a", "type=bind,src=a,dst=/a", "type=tmpfs,src=/a,dst=/a", "type=npipe,dst=/a",
		"type=tmpfs,dst=/a,ro=maybe", "type=tmpfs,dst=/a,tmpfs-size=big", "type=bind,src=/a,dst=/b,bind-propagation=up", "x=y"} {
		if m, err := ParseMount(s); err == nil {
			t.Errorf("%q: %+v", s, m)
		}
	}
	got, err := ParseTmpfs("/t:exec,size=1m")
	if diff := cmp.Diff(MountOption{Type: "tmpfs", Target: "/t", Options: []string{"nosuid", "nodev", "exec", "size=1m"}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
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
		if got := resolvConf(host, ContainerOptions{ShapeOptions: tc.o}); got != tc.want {
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
