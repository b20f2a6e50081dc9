package whiteout

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name   string
		kind   Kind
		target string
		bad    bool
	}{
		{name: "passwd"},
		{name: ".wh"},
		{name: ".what"},
		{name: "a.wh.b"},
		{name: "."},
		{name: ".."},
		{name: "\xff\xfe"},
		{name: ".wh.passwd", kind: Remove, target: "passwd"},
		{name: ".wh.\xff", kind: Remove, target: "\xff"},
		{name: ".wh....", kind: Remove, target: "..."},
		{name: ".wh..a", kind: Remove, target: ".a"},
		{name: ".wh..wh", kind: Remove, target: ".wh"},
		{name: ".wh..wh..opq", kind: Opaque},
		{name: ".wh..wh.", kind: Meta},
		{name: ".wh..wh.plnk", kind: Meta},
		{name: ".wh..wh..opqx", kind: Meta},
		{name: ".wh..wh..op", kind: Meta},
		{name: ".wh.", bad: true},
		{name: ".wh..", bad: true},
		{name: ".wh...", bad: true},
		{name: "", bad: true},
		{name: "a/b", bad: true},
		{name: ".wh.a/b", bad: true},
		{name: ".wh.\x00", bad: true},
	} {
		kind, target, err := Parse(tc.name)
		if kind != tc.kind || target != tc.target || (err != nil) != tc.bad {
			t.Errorf("Parse(%q) = %v, %q, %v; want %v, %q, error %t", tc.name, kind, target, err, tc.kind, tc.target, tc.bad)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("Parse(%q): %v does not wrap ErrInvalid", tc.name, err)
		}
		bkind, btarget, berr := Parse([]byte(tc.name))
		if bkind != kind || string(btarget) != target || (berr != nil) != tc.bad {
			t.Errorf("Parse([]byte(%q)) = %v, %q, %v", tc.name, bkind, btarget, berr)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	name := []byte(".wh.passwd")
	if n := testing.AllocsPerRun(100, func() { Parse(name) }); n != 0 {
		t.Errorf("Parse allocates %v times", n)
	}
}

func TestName(t *testing.T) {
	for _, target := range []string{"a", "...", ".wh", "\xff", strings.Repeat("a", 251)} {
		name, err := Name(target)
		if err != nil || name != ".wh."+target {
			t.Errorf("Name(%q) = %q, %v", target, name, err)
		}
	}
	for _, target := range []string{"", ".", "..", ".wh.", ".wh.a", ".wh..opq", "a/b", "\x00"} {
		if name, err := Name(target); !errors.Is(err, ErrInvalid) {
			t.Errorf("Name(%q) = %q, %v; want ErrInvalid", target, name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a", ".wh.a", ".wh..wh..opq", ".wh..wh.x", ".wh...", "..", ".wh.\xff/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		kind, target, err := Parse(name)
		if err != nil {
			if kind != Ordinary || target != "" {
				t.Fatalf("Parse(%q) = %v, %q with error %v", name, kind, target, err)
			}
			return
		}
		if (kind == Remove) != (target != "") {
			t.Fatalf("Parse(%q) = %v, %q", name, kind, target)
		}
		if strings.ContainsAny(target, "/\x00") || target == "." || target == ".." {
			t.Fatalf("Parse(%q) names %q as its target", name, target)
		}
		if kind == Remove {
			if again, err := Name(target); err != nil || again != name {
				t.Fatalf("Name(%q) = %q, %v; want %q", target, again, err, name)
			}
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add("a", uint8(0))
	f.Add(".wh.a", uint8(1))
	f.Add("..", uint8(3))
	f.Fuzz(func(t *testing.T, target string, n uint8) {
		d := Dialect(n % 6)
		form, err := d.Encode(Mark{Kind: Remove, Target: target})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		got, err := d.Read(objectOf(form, d))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Mark{Kind: Remove, Target: target}, got); diff != "" {
			t.Fatalf("%v: %s", d, diff)
		}
	})
}
