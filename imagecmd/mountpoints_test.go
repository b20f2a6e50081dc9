package imagecmd

import (
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// entriesOf reads "K type path", where the type is d, f (empty) or F (a file that
// holds something); of a changed directory d! has another mode than before.
func entriesOf(lines ...string) iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) {
		for _, l := range lines {
			f := strings.Fields(l)
			e := cow.Entry{Change: cow.Change{Kind: cow.Kind(f[0][0]), Path: f[2]}}
			switch f[1][0] {
			case 'd':
				e.Attr.Mode, e.Before.Mode = unix.S_IFDIR|0o755, unix.S_IFDIR|0o755
			case 'f':
				e.Attr.Mode = unix.S_IFREG | 0o755
			case 'F':
				e.Attr.Mode, e.Attr.Size = unix.S_IFREG|0o644, 5
			}
			if strings.HasSuffix(f[1], "!") {
				e.Before.Mode ^= 0o20
			}
			if strings.HasSuffix(f[1], "x") {
				e.Xattrs = map[string]string{"user.a": "b"}
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestWithoutMountPoints(t *testing.T) {
	for _, tc := range []struct {
		what     string
		in, want []string
	}{
		{"nothing", nil, nil},
		{"an image without anything", []string{"A d /dev", "A d /etc", "A f /etc/hostname", "A f /etc/hosts", "A f /etc/resolv.conf", "A d /proc", "A d /sys"}, nil},
		{"an image without the files", []string{"C d /etc", "A f /etc/hosts"}, nil},
		{"the directory has changed itself", []string{"C d! /etc", "A f /etc/hosts"}, []string{"/etc"}},
		{"and so if it has attributes that may be new", []string{"C dx /etc", "A f /etc/hosts"}, []string{"/etc"}},
		{"and nothing was left out of it", []string{"C d /etc"}, []string{"/etc"}},
		{"something else is in it", []string{"C d /etc", "A f /etc/hosts", "A F /etc/x", "A F /f"}, []string{"/etc", "/etc/x", "/f"}},
		{"before it too", []string{"C d /etc", "A F /etc/a", "A f /etc/hosts"}, []string{"/etc", "/etc/a"}},
		{"files that somebody wrote", []string{"C d /etc", "A F /etc/hosts"}, []string{"/etc", "/etc/hosts"}},
		{"files that were changed", []string{"C d /etc", "C f /etc/hosts"}, []string{"/etc", "/etc/hosts"}},
		{"files that were deleted", []string{"C d /etc", "D f /etc/hosts"}, []string{"/etc", "/etc/hosts"}},
		{"a directory of that name that holds something", []string{"A d /dev", "A F /dev/x", "A d /devil"}, []string{"/dev", "/dev/x", "/devil"}},
		{"no other name", []string{"A d /etc-new", "A f /etc-new/hosts", "A f /hosts"}, []string{"/etc-new", "/etc-new/hosts", "/hosts"}},
	} {
		var got []string
		for e, err := range withoutMountPoints(entriesOf(tc.in...)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Path)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.what, diff)
		}
	}
}

func TestWithoutMountPointsPassesErrors(t *testing.T) {
	broken := errors.New("broken")
	n := 0
	for _, err := range withoutMountPoints(func(yield func(cow.Entry, error) bool) {
		if yield(cow.Entry{Change: cow.Change{Kind: cow.Added, Path: "/a"}}, nil) {
			yield(cow.Entry{}, broken)
		}
	}) {
		if n++; n == 2 && err != broken {
			t.Errorf("the error is %v", err)
		}
	}
	if n != 2 {
		t.Errorf("%d steps", n)
	}
	for range withoutMountPoints(entriesOf("A F /a", "A F /b")) {
		break // and no panic
	}
}
