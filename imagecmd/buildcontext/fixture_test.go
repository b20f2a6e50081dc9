package buildcontext

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/patternmatcher"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// past is the time of what makeTree makes.
var past = time.Unix(1_000_000_000, 0)

// makeTree makes what lines say below dir, and returns dir:
//
//	d PATH MODE · f PATH MODE CONTENT · l PATH TARGET · h PATH OLD · s PATH · p PATH MODE
func makeTree(t testing.TB, dir string, lines ...string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for _, l := range lines {
		w := strings.SplitN(l, " ", 4)
		p := filepath.Join(dir, w[1])
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		mode := func() uint32 {
			m, err := strconv.ParseUint(w[2], 8, 32)
			must(t, err)
			return uint32(m)
		}
		switch w[0] {
		case "d":
			must(t, os.MkdirAll(p, 0o755))
			must(t, unix.Chmod(p, mode()))
		case "f":
			must(t, os.WriteFile(p, []byte(w[3]), 0o600))
			must(t, unix.Chmod(p, mode()))
		case "l":
			must(t, os.Symlink(w[2], p))
			continue
		case "h":
			must(t, os.Link(filepath.Join(dir, w[2]), p))
			continue
		case "s":
			l, err := net.Listen("unix", p)
			must(t, err)
			t.Cleanup(func() { l.Close() })
			continue
		case "p":
			must(t, unix.Mkfifo(p, mode()))
		default:
			t.Fatalf("what is %q?", l)
		}
	}
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(p, past, past)
	}))
	return dir
}

// dirSource is a directory as a context.
func dirSource(t testing.TB, dir, ignore string) *Source {
	t.Helper()
	i, err := ParseIgnore(strings.NewReader(ignore))
	must(t, err)
	s, err := FromDir("build context", dir, i)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// lines are entries, one a line: kind, path, type and mode, owner, then #link, ->target,
// xattrs, and =content.
func lines(seq iter.Seq2[cow.Entry, error]) ([]string, error) {
	var out []string
	for e, err := range seq {
		if err != nil {
			return out, err
		}
		s := fmt.Sprintf("%v %s", e.Kind, e.Path)
		if e.Kind != cow.Deleted {
			s += fmt.Sprintf(" %s%o", letter(e.Attr.Mode), e.Attr.Mode&0o7777)
		}
		// What the test made in the lower tree belongs to whom it runs as.
		own := int(e.Attr.UID) == os.Getuid() && int(e.Attr.GID) == os.Getgid()
		if !own && (e.Attr.UID != 0 || e.Attr.GID != 0) {
			s += fmt.Sprintf(" %d:%d", e.Attr.UID, e.Attr.GID)
		}
		if e.Inode != 0 {
			s += fmt.Sprintf(" #%d", e.Inode)
		}
		if e.Target != "" {
			s += " ->" + e.Target
		}
		for _, k := range slices.Sorted(maps.Keys(e.Xattrs)) {
			s += " " + k + ":" + e.Xattrs[k]
		}
		if e.Open != nil {
			d, err := e.Open()
			if err != nil {
				return out, err
			}
			b, err := io.ReadAll(io.NewSectionReader(d, 0, e.Attr.Size))
			d.Close()
			if err != nil {
				return out, err
			}
			s += " =" + string(b)
		}
		out = append(out, s)
	}
	return out, nil
}

func letter(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "d"
	case unix.S_IFLNK:
		return "l"
	case unix.S_IFREG:
		return "f"
	case unix.S_IFIFO:
		return "p"
	}
	return "?"
}

// run is what c makes over the tree in the directory lower; "" is none.
func run(t testing.TB, c Copy, o SelectOptions, lower string) ([]string, error) {
	t.Helper()
	o.Temp = t.TempDir()
	sel, err := c.Select(context.Background(), o)
	if err != nil {
		return nil, err
	}
	defer sel.Close()
	if _, err := sel.Digest(context.Background()); err != nil {
		return nil, err
	}
	if lower == "" {
		return lines(sel.Entries(context.Background(), nil))
	}
	b, err := cow.OpenTree(lower)
	must(t, err)
	defer b.Close()
	return lines(sel.Entries(context.Background(), b))
}

// matches tells whether rel matches, from its first directory on, as Docker walks a context.
func matches(m *patternmatcher.PatternMatcher, rel string) (ok bool, err error) {
	var info patternmatcher.MatchInfo
	for i := 0; i <= len(rel) && err == nil; i++ {
		if i == len(rel) || rel[i] == '/' {
			ok, info, err = m.MatchesUsingParentResults(rel[:i], info)
		}
	}
	return ok, err
}

// expect fails the test unless got is want, or err says what wrong does; "" is no error.
func expect(t testing.TB, got []string, err error, want []string, wrong string) {
	t.Helper()
	if wrong != "" {
		if err == nil || !strings.Contains(err.Error(), wrong) {
			t.Fatalf("error %v, want %s", err, wrong)
		}
		return
	}
	must(t, err)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
