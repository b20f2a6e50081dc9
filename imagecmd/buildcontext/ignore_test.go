package buildcontext

import (
	"path"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

func TestIgnore(t *testing.T) {
	for _, tc := range []struct {
		file string
		in   []string // the context
		out  []string // left out of it
	}{
		{"# comment\n\n *.o \n", []string{"a", "d/x.o"}, []string{"x.o"}},
		{"\ufeff/abs\n", []string{"d/abs"}, []string{"abs", "abs/x"}},
		{"**/*.o\n!keep.o\n", []string{"keep.o"}, []string{"d/x.o", "d/keep.o"}},
		{"d\n!d/keep\n", []string{"d/keep", "d/keep/x"}, []string{"d", "d/x"}},
		{"*\n!a/**\n", []string{"a/x", "a/y/z"}, []string{"b", "a"}},
		{"a?c/[x-z]*\n", []string{"abc/a", "ac/x"}, []string{"abc/x", "abc/y1"}},
		{"d/\n", nil, []string{"d", "d/x"}},
	} {
		i, err := ParseIgnore(strings.NewReader(tc.file))
		must(t, err)
		for _, p := range tc.in {
			if out, err := i.Match(p); out || err != nil {
				t.Errorf("%q: %s is left out, %v", tc.file, p, err)
			}
		}
		for _, p := range tc.out {
			if out, err := i.Match(p); !out || err != nil {
				t.Errorf("%q: %s is not left out, %v", tc.file, p, err)
			}
		}
	}
	if i, err := ParseIgnore(strings.NewReader("# nothing\n\n")); i != nil || err != nil {
		t.Errorf("%v, %v of no pattern", i, err)
	}
	if _, err := ParseIgnore(strings.NewReader("a\n!\n")); err == nil || !strings.Contains(err.Error(), "illegal exclusion pattern") {
		t.Errorf("error %v", err)
	}
}

// allPaths are paths of few names, three deep.
func allPaths() (out []string) {
	names := []string{"a", "b.x", "c"}
	for _, x := range names {
		out = append(out, x)
		for _, y := range names {
			out = append(out, x+"/"+y)
			for _, z := range names {
				out = append(out, x+"/"+y+"/"+z)
			}
		}
	}
	return out
}

// fullTree has all of allPaths: the deepest are files.
type fullTree struct{ tree }

func (fullTree) stat(p string) (object, bool, error) {
	o := object{name: path.Base(p), attr: cow.Attr{Mode: unix.S_IFDIR}}
	if strings.Count(p, "/") == 3 {
		o.attr.Mode = unix.S_IFREG
	}
	return o, true, nil
}

func (f fullTree) list(p string) (out []object, err error) {
	for _, name := range []string{"a", "b.x", "c"} {
		o, _, _ := f.stat(path.Join(p, name))
		out = append(out, o)
	}
	return out, nil
}

// What is in the context is what patternmatcher doesn't match, and the directories
// that hold it: never more, and never less for all that is passed over.
func FuzzIgnore(f *testing.F) {
	for _, s := range []string{"a", "*\n!a/b.x/c", "**/c\n!a", "a/*/c\n!**/*.x", "!*", "b.x/**\n!b.x/a/c", "[a-c]\n!c", "\\a", "a/../b.x", "/", "**", "!**\n*", " # "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		i, err := ParseIgnore(strings.NewReader(file))
		if err != nil || i == nil {
			return
		}
		lines, err := ignorefile.ReadAll(strings.NewReader(file))
		must(t, err)
		m, err := patternmatcher.New(lines)
		must(t, err)
		want := map[string]bool{}
		for _, p := range allPaths() {
			out, err := matches(m, p)
			if err != nil {
				return
			}
			if !out {
				for d := p; d != "."; d = path.Dir(d) {
					want[d] = true
				}
			}
		}
		got := map[string]bool{}
		view := ignoring{fullTree{}, i}
		var visit func(p string)
		visit = func(p string) {
			list, err := view.list(p)
			must(t, err)
			for _, o := range list {
				at := path.Join(p, o.name)
				got[at[1:]] = true
				if _, ok, err := view.stat(at); !ok || err != nil {
					t.Errorf("%q: %s is listed, and not there: %v", file, at, err)
				}
				if o.isDir() {
					visit(at)
				}
			}
		}
		visit("/")
		for _, p := range allPaths() {
			if got[p] != want[p] {
				t.Errorf("%q: %s is in the context: %t, want %t", file, p, got[p], want[p])
			}
		}
	})
}
