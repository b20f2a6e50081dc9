package reference

import (
	"strings"
	"testing"

	theirs "github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// A meaning is all that can be asked of a name.
type meaning struct {
	Err                                  string
	Full, Familiar, FamiliarName, Name   string
	Domain, Path, Trimmed, WithLatest    string
	Tag, Digest                          string
	IsTagged, IsDigested, IsOnly, IsFull bool
	Retagged, Pinned                     string
	Matches                              bool
}

const pin = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// patterns are what names are matched with.
const pattern = "*/a*"

func ours(s string, read func(string) (Reference, error)) meaning {
	r, err := read(s)
	if err != nil {
		return meaning{Err: err.Error()}
	}
	m := meaning{Full: r.String(), Familiar: FamiliarString(r)}
	m.Matches, _ = FamiliarMatch(pattern, r)
	if t, ok := r.(Tagged); ok {
		m.Tag, m.IsTagged = t.Tag(), true
	}
	if d, ok := r.(Digested); ok {
		m.Digest, m.IsDigested = d.Digest().String(), true
	}
	if n, ok := r.(Named); ok {
		m.Name, m.FamiliarName, m.Domain, m.Path = n.Name(), FamiliarName(n), Domain(n), Path(n)
		m.Trimmed, m.WithLatest, m.IsOnly = TrimNamed(n).String(), TagNameOnly(n).String(), IsNameOnly(n)
		_, err := ParseNamed(s)
		m.IsFull = err == nil
		tagged, err := WithTag(n, "new")
		pinned, perr := WithDigest(n, digest.Digest(pin))
		if err != nil || perr != nil {
			return meaning{Err: "can't be changed"}
		}
		m.Retagged, m.Pinned = tagged.String(), pinned.String()
	}
	return m
}

func libraries(s string, read func(string) (theirs.Reference, error)) meaning {
	r, err := read(s)
	if err != nil {
		return meaning{Err: err.Error()}
	}
	m := meaning{Full: r.String(), Familiar: theirs.FamiliarString(r)}
	m.Matches, _ = theirs.FamiliarMatch(pattern, r)
	if t, ok := r.(theirs.Tagged); ok {
		m.Tag, m.IsTagged = t.Tag(), true
	}
	if d, ok := r.(theirs.Digested); ok {
		m.Digest, m.IsDigested = d.Digest().String(), true
	}
	if n, ok := r.(theirs.Named); ok {
		m.Name, m.FamiliarName, m.Domain, m.Path = n.Name(), theirs.FamiliarName(n), theirs.Domain(n), theirs.Path(n)
		m.Trimmed, m.WithLatest, m.IsOnly = theirs.TrimNamed(n).String(), theirs.TagNameOnly(n).String(), theirs.IsNameOnly(n)
		_, err := theirs.ParseNamed(s)
		m.IsFull = err == nil
		tagged, err := theirs.WithTag(n, "new")
		pinned, perr := theirs.WithDigest(n, digest.Digest(pin))
		if err != nil || perr != nil {
			return meaning{Err: "can't be changed"}
		}
		m.Retagged, m.Pinned = tagged.String(), pinned.String()
	}
	return m
}

// compare holds what is made of a text against what the library makes of it.
func compare(t *testing.T, s string) {
	t.Helper()
	want := libraries(s, theirs.ParseAnyReference)
	if diff := cmp.Diff(want, ours(s, ParseAnyReference)); diff != "" {
		t.Errorf("ParseAnyReference(%q):\n%s", s, diff)
	}
	want = libraries(s, func(s string) (theirs.Reference, error) { return theirs.ParseNormalizedNamed(s) })
	if diff := cmp.Diff(want, ours(s, func(s string) (Reference, error) { return ParseNormalizedNamed(s) })); diff != "" {
		t.Errorf("ParseNormalizedNamed(%q):\n%s", s, diff)
	}
	name, _ := theirs.ParseNormalizedNamed("a")
	if _, err := theirs.WithTag(name, s); (err == nil) != isTag(s) {
		t.Errorf("tag %q: %v, the library: %v", s, isTag(s), err)
	}
	if _, err := theirs.WithDigest(name, digest.Digest(s)); (err == nil) != isDigest(s) {
		t.Errorf("digest %q: %v, the library: %v", s, isDigest(s), err)
	}
}

var hex64 = strings.Repeat("0123456789abcdef", 4)

var samples = []string{
	"", "a", "debian", "debian:12", "Debian", "debian:12@" + pin, "debian@" + pin, "library/debian", "docker.io/debian",
	"docker.io/library/debian", "index.docker.io/debian:x", "localhost/a", "localhost", "localhost:5000/a/b:t", "localhost:5000", "a:b:c",
	"example.com/a", "example.com:5000/a:b@" + pin, "Host/a", "HOST/a/b", "example.com", "EXAMPLE.com/A", "a/B", "a/b/C:d", "a:T", "a/b/",
	"/a", "a//b", "a/", "-a", "a-", "a--b", "a---b", "a_b", "a__b", "a___b", "a.b", "a..b", "a._b", "a.-b", "a_-b/c", ".a", "a:", "a:.b", "a:-b",
	"a:_b", "a:b-.", "a@", "a@sha256:" + hex64[:32], "a@sha256:" + hex64[:31], "a@md5:" + hex64[:32], "a@sha256:" + strings.ToUpper(hex64),
	"a@sha512:" + hex64 + hex64, "a@x+y.z_w-v:" + hex64, "a@x++y:" + hex64, "a@+x:" + hex64, "a@x+:" + hex64, "a@1x:" + hex64, "a@x.1y:" + hex64,
	"a@x1.y2:" + hex64, "a@" + pin + "@" + pin, pin, pin[7:], pin[:70], "sha256:" + strings.ToUpper(hex64), "sha256:abc", "md5:" + hex64, hex64 + ":tag",
	strings.ToUpper(hex64), hex64[:63], hex64 + "0", hex64[:63] + "g", "docker.io/" + hex64, "sha256:" + hex64 + "/a",
	"[::1]/a", "[::1]:5000/a:b", "[::1]:/a", "[::1]5/a", "[]/a", "[::1/a", "[::g]/a", "[::1]", "[::1]:5000", "[fe80::1%eth0]/a", "[::1].com/a",
	"127.0.0.1:80/a", "a.:80/b", ".a/b", "a./b", "a..b/c", "-a.b/c", "a-.b/c", "a-b.c-d/e", "a_b.c/d", "a_b:80/c", "a.b:/c", "a.b:8o/c", "a.b::80/c",
	"a:80/b:c/d", "a.b/c:80/d", "é", "é.com/a", "a/é", "a:é", "\xff", "a\n", "a:b\n", "\u212Aelvin/a", "a/\u212Aelvin", "\u212A", " a", "a b", "a/b a",
	"localhost/a@" + pin, "x/" + strings.Repeat("a", 253), "x.y/" + strings.Repeat("a", 255), "x.y/" + strings.Repeat("a", 256),
	strings.Repeat("a", 247), strings.Repeat("a", 248), "a:" + strings.Repeat("t", 128), "a:" + strings.Repeat("t", 129), strings.Repeat("t", 129),
	"a0.b1/c2__d3--e4.f5:g6.h7_i8-j9", "docker.io/library/a/b", "docker.io/a/b", "library/a/b:c", "docker.io", "docker.io/", "index.docker.io/library/a",
}

func TestAsTheLibrary(t *testing.T) {
	for _, s := range samples {
		compare(t, s)
	}
}

// Every text of up to four of these signs, which are those the grammar is about.
func TestAllShort(t *testing.T) {
	var all func(prefix string, left int)
	all = func(prefix string, left int) {
		compare(t, prefix)
		if left > 0 && !t.Failed() {
			for _, c := range "aZ0-_.:/@[" {
				all(prefix+string(c), left-1)
			}
		}
	}
	all("", 4)
}

// What is not a name has no tag and no digest put on.
func TestErrors(t *testing.T) {
	n, err := ParseNormalizedNamed("debian")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := WithTag(n, ".x"); err != ErrTagInvalidFormat {
		t.Error(err)
	}
	if _, err := WithDigest(n, "sha256:12"); err != ErrDigestInvalidFormat {
		t.Error(err)
	}
	if _, err := ParseNamed("debian"); err != ErrNotCanonical {
		t.Error(err)
	}
}

func FuzzAsTheLibrary(f *testing.F) {
	for _, s := range samples {
		f.Add(s)
	}
	f.Fuzz(compare)
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := ParseNormalizedNamed("localhost:5000/team/debian:12"); err != nil {
			b.Fatal(err)
		}
	}
}
