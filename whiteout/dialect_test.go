package whiteout

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func values(xs []Xattr) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, x := range xs {
			if x.Name == name {
				return x.Value, true
			}
		}
		return "", false
	}
}

// objectOf is the object that somebody who did what form says has made.
func objectOf(form Form, d Dialect) Object {
	if form.Name == "" {
		return Object{Name: "dir", Mode: modeDir | 0o755, Xattr: values(form.DirXattrs)}
	}
	return Object{
		Name: form.Name, Mode: form.Mode, Rdev: form.Rdev, Xattr: values(form.Xattrs),
		InXDir: d.XWhiteoutDir(values(form.DirXattrs)),
	}
}

func TestEncodeAndReadAgree(t *testing.T) {
	for d := AUFS; d <= FuseOverlay; d++ {
		for _, m := range []Mark{{Kind: Remove, Target: "a"}, {Kind: Remove, Target: "\xff"}, {Kind: Opaque}} {
			form, err := d.Encode(m)
			if err != nil {
				t.Errorf("%v: %v: %v", d, m, err)
				continue
			}
			got, err := d.Read(objectOf(form, d))
			if diff := cmp.Diff(m, got); diff != "" || err != nil {
				t.Errorf("%v: %v reads as %v, %v (form %+v)", d, m, got, err, form)
			}
		}
	}
}

func TestEncode(t *testing.T) {
	gone := Mark{Kind: Remove, Target: "a"}
	opaque := Mark{Kind: Opaque}
	for _, tc := range []struct {
		d    Dialect
		m    Mark
		want Form
	}{
		{AUFS, gone, Form{Name: ".wh.a", Mode: modeReg}},
		{AUFS, opaque, Form{Name: ".wh..wh..opq", Mode: modeReg}},
		{Trusted, gone, Form{Name: "a", Mode: modeChar}},
		{Trusted, opaque, Form{DirXattrs: []Xattr{{"trusted.overlay.opaque", "y"}}}},
		{User, opaque, Form{DirXattrs: []Xattr{{"user.overlay.opaque", "y"}}}},
		{UserFiles, gone, Form{Name: "a", Mode: modeReg,
			Xattrs:    []Xattr{{"user.overlay.whiteout", "y"}},
			DirXattrs: []Xattr{{"user.overlay.opaque", "x"}}}},
		{FuseOverlay, gone, Form{Name: "a", Mode: modeChar}},
		{FuseOverlay, opaque, Form{DirXattrs: []Xattr{{"user.fuseoverlayfs.opaque", "y"}}}},
		{Trusted, Mark{}, Form{}},
		{AUFS, Mark{Kind: Meta}, Form{}},
	} {
		got, err := tc.d.Encode(tc.m)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%v.Encode(%v): %v\n%s", tc.d, tc.m, err, diff)
		}
	}
}

func TestRead(t *testing.T) {
	x := func(kv ...string) func(string) (string, bool) {
		var xs []Xattr
		for i := 0; i < len(kv); i += 2 {
			xs = append(xs, Xattr{kv[i], kv[i+1]})
		}
		return values(xs)
	}
	for _, tc := range []struct {
		what string
		d    Dialect
		o    Object
		want Mark
	}{
		{"a device 1:3", Trusted, Object{Name: "null", Mode: modeChar, Rdev: 0x103}, Mark{}},
		{"a block device 0:0", Trusted, Object{Name: "b", Mode: 0o060000}, Mark{}},
		{"0:0 in a wire layer is a device", AUFS, Object{Name: "a", Mode: modeChar}, Mark{}},
		{"an AUFS name in an overlayfs tree", Trusted, Object{Name: ".wh.a", Mode: modeReg}, Mark{}},
		{"an AUFS name for fuse-overlayfs", FuseOverlay, Object{Name: ".wh.a", Mode: modeReg}, Mark{Remove, "a"}},
		{"an AUFS opaque marker", FuseOverlay, Object{Name: OpaqueName, Mode: modeReg}, Mark{Kind: Opaque}},
		{"a directory called like one", FuseOverlay, Object{Name: OpaqueName, Mode: modeDir}, Mark{Kind: Meta}},
		{"the other namespace", User, Object{Name: "d", Mode: modeDir, Xattr: x("trusted.overlay.opaque", "y")}, Mark{}},
		{"fuse-overlayfs knows the kernel's", FuseOverlay, Object{Name: "d", Mode: modeDir, Xattr: x("trusted.overlay.opaque", "y")}, Mark{Kind: Opaque}},
		{"x is not opaque", Trusted, Object{Name: "d", Mode: modeDir, Xattr: x("trusted.overlay.opaque", "x")}, Mark{}},
		{"n is not opaque", Trusted, Object{Name: "d", Mode: modeDir, Xattr: x("trusted.overlay.opaque", "n")}, Mark{}},
		{"opaque on a file", Trusted, Object{Name: "f", Mode: modeReg, Xattr: x("trusted.overlay.opaque", "y")}, Mark{}},
		{"a nested overlay's", Trusted, Object{Name: "d", Mode: modeDir, Xattr: x("trusted.overlay.overlay.opaque", "y")}, Mark{}},
		{"xwhiteout outside of its directory", User, Object{Name: "f", Mode: modeReg, Xattr: x("user.overlay.whiteout", "")}, Mark{}},
		{"xwhiteout with data", User, Object{Name: "f", Mode: modeReg, Size: 1, InXDir: true, Xattr: x("user.overlay.whiteout", "")}, Mark{}},
		{"xwhiteout", User, Object{Name: "f", Mode: modeReg, InXDir: true, Xattr: x("user.overlay.whiteout", "")}, Mark{Remove, "f"}},
		{"no xattrs", User, Object{Name: "f", Mode: modeReg, InXDir: true}, Mark{}},
	} {
		got, err := tc.d.Read(tc.o)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", tc.what, err, diff)
		}
	}
}

func TestXattrNames(t *testing.T) {
	for _, tc := range []struct{ shown, stored string }{
		{"user.a", "user.a"},
		{"user.overlay.opaque", "user.overlay.overlay.opaque"},
		{"user.overlay.overlay.opaque", "user.overlay.overlay.overlay.opaque"},
		{"user.overlay.", "user.overlay.overlay."},
		{"trusted.overlay.opaque", "trusted.overlay.opaque"},
	} {
		if got := UserXattr.Stored(tc.shown); got != tc.stored {
			t.Errorf("Stored(%q) = %q, want %q", tc.shown, got, tc.stored)
		}
		if got, ok := UserXattr.Shown(tc.stored); got != tc.shown || !ok {
			t.Errorf("Shown(%q) = %q, %t, want %q", tc.stored, got, ok, tc.shown)
		}
	}
	if got, ok := UserXattr.Shown("user.overlay.origin"); ok {
		t.Errorf("the overlay's own xattr is shown as %q", got)
	}
	for name, want := range map[string]bool{
		"trusted.overlay.opaque": true, "user.overlay.redirect": true, "user.fuseoverlayfs.opaque": true,
		"user.containers.override_stat": true, "user.overlay.overlay.opaque": false, "security.capability": false,
		"user.overlayx": false,
	} {
		if got := Bookkeeping(name); got != want {
			t.Errorf("Bookkeeping(%q) = %t", name, got)
		}
	}
	if key, ok := TrustedXattr.Own("trusted.overlay.metacopy"); key != KeyMetacopy || !ok {
		t.Errorf("Own = %q, %t", key, ok)
	}
}

func FuzzXattrNames(f *testing.F) {
	f.Add("user.overlay.overlay.x")
	f.Add("trusted.overlay.")
	f.Fuzz(func(t *testing.T, name string) {
		for _, ns := range []Namespace{TrustedXattr, UserXattr} {
			stored := ns.Stored(name)
			if _, own := ns.Own(stored); own {
				t.Fatalf("%q is stored as %q, one of the overlay's own", name, stored)
			}
			if shown, ok := ns.Shown(stored); !ok || shown != name {
				t.Fatalf("%q is stored as %q and shown as %q, %t", name, stored, shown, ok)
			}
		}
	})
}

func TestMergeOpaque(t *testing.T) {
	for _, tc := range [][3]string{{"", "", ""}, {"x", "", "x"}, {"", "x", "x"}, {"x", "y", "y"}, {"y", "x", "y"}, {"y", "", "y"}} {
		if got := MergeOpaque(tc[0], tc[1]); got != tc[2] {
			t.Errorf("MergeOpaque(%q, %q) = %q", tc[0], tc[1], got)
		}
	}
}
