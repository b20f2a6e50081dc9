package layerpack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listing is each path of an index with what a test cares for: a directory's
// slash, a link's arrow, a file's layer and content length.
func listing(t testing.TB, x *Index) []string {
	t.Helper()
	all := []string{}
	first := make(map[NID]string)
	err := x.Walk(func(p []byte, d *Dirent, a *Attr) error {
		if len(p) == 0 {
			return nil
		}
		s := string(p)
		switch a.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			s += "/"
		case unix.S_IFLNK:
			s += " -> " + string(must(x.Readlink(a.NID)))
		default:
			if f, ok := first[a.NID]; ok {
				s += " = " + f
			} else {
				first[a.NID] = s
			}
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMergeRules(t *testing.T) {
	type layer = []tar.Header
	for _, c := range []struct {
		name   string
		layers []layer
		want   []string
	}{
		{"empty chain", nil, []string{}},
		{"absolute names", []layer{{file("/etc/x", "")}}, []string{"etc/", "etc/x"}},
		{"dots inside stay", []layer{{file("a/../b/./c//d", "")}}, []string{"b/", "b/c/", "b/c/d"}},
		{"link out of the root is clamped", []layer{{link("out", "../../.."), file("out/x", "")}}, []string{"out -> ../../..", "x"}},
		{"absolute link is the image's", []layer{{dir("t/"), link("l", "/t")}, {file("l/x", "")}}, []string{"l -> /t", "t/", "t/x"}},
		{"dangling link makes its target", []layer{{link("l", "/a/b"), file("l/x", "")}}, []string{"a/", "a/b/", "a/b/x", "l -> /a/b"}},
		{"opaque before siblings", []layer{{dir("d/"), file("d/old", "")}, {file("d/.wh..wh..opq", ""), file("d/new", "")}}, []string{"d/", "d/new"}},
		{"opaque after siblings", []layer{{dir("d/"), file("d/old", "")}, {file("d/new", ""), file("d/.wh..wh..opq", "")}}, []string{"d/", "d/new"}},
		{"whiteout after its own file", []layer{{file("f", "")}, {file("f", "x"), file(".wh.f", "")}}, []string{"f"}},
		{"whiteout of nothing", []layer{{file("f", "")}, {file("no/.wh.f", ""), file(".wh.g", "")}}, []string{"f"}},
		{"whiteout of a directory", []layer{{file("d/a/b", "")}, {file(".wh.d", "")}}, []string{}},
		{"whiteout through a link", []layer{{dir("usr/lib/"), link("lib", "usr/lib"), file("lib/x", "")}, {file("lib/.wh.x", "")}}, []string{"lib -> usr/lib", "usr/", "usr/lib/"}},
		{"whiteout in a directory over a link", []layer{{dir("usr/lib/"), link("lib", "usr/lib"), file("lib/x", "")}, {dir("lib/"), file("lib/.wh.x", "")}}, []string{"lib/", "usr/", "usr/lib/", "usr/lib/x"}},
		{"opaque in a directory over a link", []layer{{dir("usr/lib/"), link("lib", "usr/lib"), file("lib/x", "")}, {file("lib/.wh..wh..opq", ""), dir("lib/")}}, []string{"lib/", "usr/", "usr/lib/", "usr/lib/x"}},
		{"directory over a link", []layer{{dir("a/"), file("a/x", ""), link("l", "a")}, {dir("l/"), file("l/y", "")}}, []string{"a/", "a/x", "l/", "l/y"}},
		{"a link on the way changes under way", []layer{{link("l", "/"), file("l/x", ""), dir("l/l/"), file("l/y", "")}}, []string{"l/", "l/y", "x"}},
		{"directory keeps children", []layer{{file("d/x", "")}, {dir("d/")}}, []string{"d/", "d/x"}},
		{"file over directory and back", []layer{{file("d/x", "")}, {file("d", "")}, {dir("d/")}}, []string{"d/"}},
		{"last wins", []layer{{file("f", ""), link("f", "a"), dir("f"), link("f", "b")}}, []string{"f -> b"}},
		{"hard links across layers", []layer{{file("a", "")}, {hard("b", "a")}, {file("a", ""), hard("c", "/b")}}, []string{"a", "b", "c = b"}},
		{"hard links to hard links", []layer{{file("a", ""), hard("b", "a"), hard("c", "b")}, {hard("d", "c")}}, []string{"a", "b = a", "c = a", "d = a"}},
		{"hard link that outlives its target", []layer{{file("a", ""), hard("b", "a")}, {file(".wh.a", "")}, {file("a", ""), hard("c", "b")}}, []string{"a", "b", "c = b"}},
		{"hard link to what the layer whites out", []layer{{file("d/a", "")}, {hard("b", "d/a")}, {file("d/.wh..wh..opq", ""), hard("c", "b")}}, []string{"b", "c = b", "d/"}},
		{"directory, file and directory again", []layer{{file("d/x", "")}, {file(".wh.d", ""), file("d", "")}, {file(".wh.d", ""), dir("d/"), file("d/y", "")}}, []string{"d/", "d/y"}},
		{"opaque twice", []layer{{file("d/a", "")}, {file("d/.wh..wh..opq", ""), file("d/b", "")}, {file("d/.wh..wh..opq", ""), file("d/c", ""), file("d/.wh..wh..opq", "")}}, []string{"d/", "d/c"}},
		{"every type over every other", []layer{{file("a", ""), dir("b"), link("c", "x")}, {dir("a/"), link("b", "y"), file("c", "")}, {link("a", "z"), file("b", ""), dir("c/")}}, []string{"a -> z", "b", "c/"}},
		{"opaque through a link", []layer{{file("t/a", ""), link("l", "t")}, {file("l/.wh..wh..opq", ""), file("l/b", "")}}, []string{"l -> t", "t/", "t/b"}},
		{"hard link to a link", []layer{{link("l", "x"), hard("m", "l")}}, []string{"l -> x", "m -> x"}},
		{"hard link to itself", []layer{{file("a", ""), hard("a", "./a")}}, []string{"a"}},
		{"aufs bookkeeping", []layer{{file(".wh..wh.plnk/1.2", ""), file(".wh..wh.aufs", ""), dir(".wh..wh.orph/")}}, []string{}},
		{"names around the dots", []layer{{file("!", ""), file("-", ""), file("...", ""), file("..a", ""), file(".a", "")}}, []string{"!", "-", "...", "..a", ".a"}},
		{"40 links are followed", []layer{append(links(39), dir("l39/"), file("l0/x", ""))}, append(linkNames(39), "l39/", "l39/x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tars [][]byte
			for _, l := range c.layers {
				tars = append(tars, tarOf(t, l...))
			}
			x, _ := buildOpen(t, packChain(t, tars...))
			slices.Sort(c.want)
			got := listing(t, x)
			slices.Sort(got)
			diff(t, "tree", c.want, got)
		})
	}
}

// links are links l0 -> l1 -> ... -> l<n>.
func links(n int) (all []tar.Header) {
	for i := range n {
		all = append(all, link(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1)))
	}
	return all
}

func linkNames(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("l%d -> l%d", i, i+1))
	}
	return all
}

func TestMergeRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []tar.Header
		why     string
	}{
		{"climbing", []tar.Header{file("../x", "")}, "out of the root"},
		{"climbing behind", []tar.Header{file("a/../../x", "")}, "out of the root"},
		{"climbing from the root", []tar.Header{file("/../x", "")}, "out of the root"},
		{"missing hard link", []tar.Header{hard("a", "b")}, "not in the image"},
		{"later hard link", []tar.Header{hard("a", "b"), file("b", "")}, "not in the image"},
		{"hard link out", []tar.Header{hard("a", "../../etc/passwd")}, "out of the root"},
		{"hard link through a link out", []tar.Header{link("l", "/.."), hard("a", "l/etc/passwd")}, "not in the image"},
		{"hard link to a directory", []tar.Header{dir("d/"), hard("a", "d")}, "directory"},
		{"hard link to the root", []tar.Header{hard("a", "/")}, "directory"},
		{"whiteout of nothing", []tar.Header{file("d/.wh.", "")}, ".wh."},
		{"whiteout of dot", []tar.Header{file(".wh..", "")}, ".wh.."},
		{"whiteout of dots", []tar.Header{file("d/.wh...", "")}, ".wh..."},
		{"in a whiteout", []tar.Header{file(".wh.d/x", "")}, "reserved"},
		{"file on the way", []tar.Header{file("f", ""), file("f/x", "")}, "is not a directory"},
		{"device on the way", []tar.Header{node0("n", tar.TypeChar, 1, 3), dir("n/x/")}, "is not a directory"},
		{"link loop", []tar.Header{link("l", "l"), file("l/x", "")}, "too many symbolic links"},
		{"41 links", append(links(41), dir("l41/"), file("l0/x", "")), "too many symbolic links"},
		{"root as a file", []tar.Header{file(".", "")}, "root"},
		{"root as a link", []tar.Header{link("a/..", "/")}, "root"},
		{"long name", []tar.Header{file(strings.Repeat("n", 256), "")}, "255"},
		{"long name on the way", []tar.Header{file("a/"+strings.Repeat("n", 256)+"/b", "")}, "255"},
		{"long path", []tar.Header{dir(strings.Repeat("nn/", 1400))}, "name of 4200 bytes"},
		{"long name by a link", []tar.Header{link("l", strings.Repeat("n", 256)), file("l/x", "")}, "255"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := t.TempDir()
			_, err := Pack(context.Background(), strings.NewReader(string(tarOf(t, c.entries...))), dst, PackOptions{})
			if err == nil {
				err = BuildIndex(context.Background(), filepath.Join(t.TempDir(), "index"), packChain(t, tarOf(t, c.entries...)))
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want a refusal that says %q", err, c.why)
			}
			t.Log(err)
		})
	}
}

func TestDepthIsBounded(t *testing.T) {
	var all []tar.Header
	for i := range 30 {
		d := strings.Repeat("d/", 100)
		all = append(all, dir(fmt.Sprintf("l%d/%s", i, d)), link(fmt.Sprintf("l%d/%sl%d", i, d, i+1), "."))
		all = append(all, link(fmt.Sprintf("l%d", i+1), fmt.Sprintf("l%d/%s", i, d)))
	}
	err := BuildIndex(context.Background(), filepath.Join(t.TempDir(), "index"), packChain(t, tarOf(t, all...)))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "deep") {
		t.Errorf("got %v", err)
	}
}

// TestImpliedParents: made by need, with what the entry that needs them says;
// kept where they are; and taking over attributes later.
func TestImpliedParents(t *testing.T) {
	private := dir("a/")
	private.Mode, private.Uid = 0o700, 7
	deep := file("b/c/f", "")
	deep.ModTime = when.AddDate(-1, 0, 0)
	late := dir("b/")
	late.Mode, late.Gid = 0o1777, 5
	root := dir("./")
	root.Mode = 0o555
	odd := link("l", "x")
	odd.Mode = 0o4000
	layers := packChain(t, tarOf(t, private), tarOf(t, file("a/f", ""), deep, late, root, odd))
	x, _ := buildOpen(t, layers)
	all := indexView(t, x, layers)
	d := unix.S_IFDIR
	for p, want := range map[string]view{
		"":    {Mode: uint32(d | 0o555), Nlink: 4, Mtime: when.Unix(), LayerKnown: 2},
		"l":   {Mode: unix.S_IFLNK | 0o777, Nlink: 1, Size: 1, Mtime: when.Unix(), LayerKnown: 2, Target: "x"},
		"a":   {Mode: uint32(d | 0o700), UID: 7, Nlink: 2, Mtime: when.Unix(), LayerKnown: 1},
		"b":   {Mode: uint32(d | 0o1777), GID: 5, Nlink: 3, Mtime: when.Unix(), LayerKnown: 2},
		"b/c": {Mode: uint32(d | 0o755), Nlink: 2, Mtime: deep.ModTime.Unix(), LayerKnown: 2},
	} {
		diff(t, fmt.Sprintf("%q", p), want, all[p])
	}
}
