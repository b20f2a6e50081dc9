package userns

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSubIDs(t *testing.T) {
	const file = `# comment
alice:100000:65536
1000:300000:10
bob:200000:65536
alice:broken
alice:1:0
alice:4294967295:2
 alice:400000:1
alice:500000:x
:1:1
`
	for _, c := range []struct {
		name string
		uid  int
		want []Range
	}{
		{"alice", 1000, []Range{{Host: 100000, Size: 65536}, {Host: 300000, Size: 10}, {Host: 400000, Size: 1}}},
		{"bob", 1001, []Range{{Host: 200000, Size: 65536}}},
		{"", 1000, []Range{{Host: 300000, Size: 10}}},
		{"carol", 7, nil},
	} {
		got, err := parseSubIDs(strings.NewReader(file), c.name, c.uid)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestLayOut(t *testing.T) {
	got := layOut(1000, []Range{{Host: 100000, Size: 10}, {Host: 999, Size: 2}, {Host: 100005, Size: 1}, {Host: 200000, Size: 5}})
	want := []Range{{0, 1000, 1}, {1, 100000, 10}, {11, 200000, 5}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	m := Mapping{UID: got, GID: got}
	if !m.HasUID(15) || m.HasUID(16) || m.Single() || m.Privileged() {
		t.Errorf("%v: HasUID(15) %v, HasUID(16) %v", m, m.HasUID(15), m.HasUID(16))
	}
	if got, want := m.String(), "0:1000:1,1:100000:10,11:200000:5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestForbidden(t *testing.T) {
	root := t.TempDir() + "/"
	for name, value := range map[string]string{
		"user/max_user_namespaces": "0\n", "kernel/unprivileged_userns_clone": "0\n", "kernel/apparmor_restrict_unprivileged_userns": "1\n",
	} {
		path := filepath.Join(root, "proc/sys", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ps := forbidden(root)
	if len(ps) != 3 || !ps[0].Fatal || !ps[1].Fatal || ps[2].Fatal {
		t.Errorf("%+v", ps)
	}
	for _, p := range ps {
		if p.Hint == "" {
			t.Errorf("%s: no hint", p.What)
		}
	}
	if ps := forbidden(t.TempDir() + "/"); len(ps) != 0 {
		t.Errorf("nothing set: %+v", ps)
	}
}

func FuzzParseSubIDs(f *testing.F) {
	f.Add("a:1:2\n1000:5:6\n")
	f.Add("a:4294967295:4294967295\n")
	f.Fuzz(func(t *testing.T, s string) {
		rs, err := parseSubIDs(strings.NewReader(s), "a", 1000)
		if err != nil {
			return
		}
		out := layOut(1000, rs)
		next := uint32(0)
		for i, r := range out {
			if r.Size == 0 || r.Container != next || overlaps(out[:i], r) {
				t.Fatalf("%v", out)
			}
			next += r.Size
		}
		back, err := parseMap(format(out, " ", "\n"))
		if err != nil || cmp.Diff(out, back) != "" {
			t.Fatalf("%v: %v %v", out, back, err)
		}
	})
}

func FuzzParseMap(f *testing.F) {
	f.Add("0 1000 1\n1 100000 65536\n")
	f.Fuzz(func(t *testing.T, s string) {
		if rs, err := parseMap(s); err == nil {
			back, err := parseMap(format(rs, " ", "\n"))
			if err != nil || cmp.Diff(rs, back) != "" {
				t.Fatalf("%v: %v %v", rs, back, err)
			}
		}
	})
}
