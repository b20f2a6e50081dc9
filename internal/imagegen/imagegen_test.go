package imagegen

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestChainIsDeterministic(t *testing.T) {
	a, b, c := sha256.New(), sha256.New(), sha256.New()
	for i, h := range []io.Writer{a, b, c} {
		for _, l := range Chain(uint64(1+i/2), 20) {
			if _, err := l.WriteTo(h); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(a.Sum(nil), b.Sum(nil)) {
		t.Error("the same seed gave two chains")
	}
	if bytes.Equal(a.Sum(nil), c.Sum(nil)) {
		t.Error("two seeds gave one chain")
	}
}

// The chain must show what it is for; a generator that quietly stops making
// hard links would make every comparison pass.
func TestChainShowsEverything(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(3) {
		layers := Chain(seed, 60)
		for _, l := range layers {
			marks := map[string]bool{}
			for _, e := range l {
				dir, name, err := split(e.Name)
				if err != nil {
					t.Fatal(err)
				}
				d := strings.Join(dir, "/")
				switch {
				case name == ".wh..wh..opq":
					seen["opaque"]++
					if marks["opq"+d] {
						seen["opaque twice"]++
					}
					marks["opq"+d] = true
					if marks["in"+d] {
						seen["opaque after entries"]++
					}
				case strings.HasPrefix(name, ".wh."):
					seen["whiteout"]++
				default:
					if marks["opq"+d] {
						seen["entries after opaque"]++
					}
					marks["in"+d] = true
					seen[string(e.Typeflag)]++
				}
				if strings.HasPrefix(e.Name, "/") {
					seen["absolute"]++
				}
			}
		}
		rec, implied, err := Expect(layers)
		if err != nil {
			t.Fatal(err)
		}
		seen["implied"] += len(implied)
		for _, e := range rec.Entries {
			if e.Group != "" && e.Mode&unix.S_IFMT == unix.S_IFREG {
				seen["grouped file"]++
			}
			if e.Group != "" && e.Mode&unix.S_IFMT == unix.S_IFLNK {
				seen["grouped symlink"]++
			}
			if e.Sec < 0 && e.Nsec != 0 {
				seen["negative mtime"]++
			}
			if e.Mode&0o6000 != 0 {
				seen["set id"]++
			}
			for _, x := range e.Xattrs {
				seen[x.Name]++
			}
		}
		t.Logf("seed %d: %d paths", seed, len(rec.Entries))
	}
	for _, what := range []string{"opaque", "opaque twice", "opaque after entries", "entries after opaque", "whiteout", "absolute", "implied",
		"grouped file", "grouped symlink", "negative mtime", "set id", "security.capability", "trusted.mix", "user.mix",
		string(tar.TypeReg), string(tar.TypeDir), string(tar.TypeLink), string(tar.TypeSymlink), string(tar.TypeFifo), string(tar.TypeChar), string(tar.TypeBlock)} {
		if seen[what] < 3 {
			t.Errorf("%q occurs %d times in three chains of 60 layers", what, seen[what])
		}
	}
}

func TestModel(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers []Layer
		want   []string // path, with what is said of it
		err    error
	}{
		{"whiteouts speak of lower layers only", []Layer{{File("a", "1"), File("b", "1")}, {File("a", "2"), Whiteout("", "a"), Whiteout("", "b")}}, []string{".", "a 1"}, nil},
		{"opaque keeps what its layer brings", []Layer{{File("d/old", "")}, {File("d/new", ""), Opaque("d")}}, []string{".", "d", "d/new 1"}, nil},
		{"links follow to the inode", []Layer{{File("a", "")}, {Link("b", "a")}, {File("a", "")}}, []string{".", "a 1", "b 1"}, nil},
		{"through a link out of the root", []Layer{{Symlink("l", "../../../etc")}, {File("l/x", "")}}, []string{".", "etc", "etc/x 1", "l 1"}, nil},
		{"directory over a symlink", []Layer{{Symlink("l", "etc")}, {Dir("l"), File("l/x", "")}}, []string{".", "l", "l/x 1"}, nil},
		{"directory over a directory", []Layer{{File("d/x", "")}, {Dir("d")}}, []string{".", "d", "d/x 1"}, nil},
		{"file over a directory", []Layer{{File("d/x", "")}, {File("d", "")}}, []string{".", "d 1"}, nil},
		{"leaves the root", []Layer{{File("a/../../x", "")}}, nil, ErrRefused},
		{"link to nothing", []Layer{{Link("a", "b")}}, nil, ErrRefused},
		{"link loop on the way", []Layer{{Symlink("a", "b"), Symlink("b", "a")}, {File("a/x", "")}}, nil, ErrRefused},
		{"whiteout of a dot", []Layer{{Whiteout("", ".")}}, nil, ErrRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec, _, err := Expect(c.layers)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			var got []string
			for _, e := range rec.Entries {
				s := e.Path
				if e.Mode&unix.S_IFMT != unix.S_IFDIR {
					s += " " + string(rune('0'+e.Nlink))
				}
				got = append(got, s)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Every hostile case must be what its name says: the model agrees with the
// outcome wherever a model can.
func TestHostilesAgreeWithTheModel(t *testing.T) {
	names := map[string]bool{}
	for _, h := range Hostiles("/srv/canary") {
		if names[h.Name] {
			t.Errorf("two cases are named %q", h.Name)
		}
		names[h.Name] = true
		if h.Layer == nil {
			continue
		}
		_, _, err := Expect(h.Chain())
		switch {
		case h.Outcome == Lands && err != nil:
			t.Errorf("%s: %v", h.Name, err)
		case h.Outcome == Refused && !errors.Is(err, ErrRefused):
			t.Errorf("%s: the model says %v", h.Name, err)
		}
	}
}

func TestZerosAreWhatTheySay(t *testing.T) {
	z, err := zstdReader(zeros(Zstd, 128<<20))
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(z)
	h, err := tr.Next()
	if err != nil || h.Size != 128<<20 {
		t.Fatalf("%+v, %v", h, err)
	}
	if n, err := io.Copy(io.Discard, tr); n != h.Size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := tr.Next(); err != io.EOF {
		t.Errorf("end: %v", err)
	}
}
