package hello

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestList(t *testing.T) {
	l := List{Layers: []string{"one thing", "two"}, Files: []File{{Path: "/a", In: []int{1, 2}}, {Path: "/b", In: []int{1}, Deleted: 2}}}
	got, err := ParseList(l.String())
	if err != nil || cmp.Diff(l, got, cmp.AllowUnexported(File{})) != "" {
		t.Error(got, err)
	}
	for _, bad := range []string{"file /a\n", "file /a x\n", "file /a 0\n", "what\n"} {
		if _, err := ParseList(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestRootMount(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "unknown: no /proc here",
		"1 0 0:1 / / rw - fuse.cfs debian rw\n": "fuse.cfs (a union in user space), read-write, from debian",
		"1 0 0:1 / / rw - ext4 /dev/vda rw\n2 1 0:2 / / ro,nosuid shared:1 - overlay none rw\n3 2 0:3 / /proc rw - proc proc rw\n": "overlay (the kernel's union), read-only, from none",
		"garbage\n1 2 3\n": "unknown: no /proc here",
	} {
		if got := rootMount(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestIDMap(t *testing.T) {
	for _, tc := range []struct {
		in         string
		uid        int
		user, mode string
	}{
		{"0 0 4294967295\n", 0, "uid 0, the same outside", "no user namespace"},
		{"0 1000 1\n", 0, "uid 0 here is uid 1000 outside, the only one that is mapped", "rootless"},
		{"0 1000 1\n1 100000 65536\n", 5, "uid 5 here is uid 100004 outside; 65537 uids are mapped", "rootless"},
		{"0 0 1\n", 0, "uid 0 here is uid 0 outside, the only one that is mapped", "a user namespace of root"},
		{"", 7, "uid 7", "unknown: no uid_map here"},
	} {
		user, mode := idMap(tc.in, tc.uid)
		if user != tc.user || mode != tc.mode {
			t.Errorf("%q: %q, %q", tc.in, user, mode)
		}
	}
}

func TestFileLines(t *testing.T) {
	replaced := File{Path: "/r", In: []int{2, 3}, from: 3}
	deleted := File{Path: "/d", In: []int{2}, Deleted: 3}
	plain := File{Path: "/p", In: []int{2}, from: 2}
	var b bytes.Buffer
	for layer := 1; layer <= 3; layer++ {
		for _, f := range []File{replaced, deleted, plain} {
			f.print(&b, layer)
		}
	}
	want := []string{
		"/r                     hidden: replaced by layer 3", "/d                     hidden: deleted by layer 3", "/p",
		"/r                     replaces that of layer 2", "/d                     deleted here, by a whiteout",
	}
	var got []string
	for l := range strings.Lines(b.String()) {
		got = append(got, strings.TrimSpace(l))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Outside the image it says so, and does not fail.
func TestMainElsewhere(t *testing.T) {
	var b bytes.Buffer
	if status := Main(&b); status != 0 || !strings.Contains(b.String(), "this is not the image cfs/hello") {
		t.Errorf("%d: %s", status, b.String())
	}
}
