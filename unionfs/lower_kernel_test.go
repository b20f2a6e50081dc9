package unionfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// kernelStack is a stack of layers that the kernel's overlay writes, one mount
// a layer, each over those before it.
type kernelStack struct {
	t      *testing.T
	dir    string
	layers []string // bottom first
}

func newKernelStack(t *testing.T) *kernelStack {
	needMount(t)
	return &kernelStack{t: t, dir: scratch(t)}
}

func (s *kernelStack) lowerdirs() []string {
	var top []string
	for i := len(s.layers) - 1; i >= 0; i-- {
		top = append(top, s.layers[i])
	}
	return top
}

// layer makes one more, by what fn does to the tree that is there.
func (s *kernelStack) layer(fn func(root string)) {
	s.t.Helper()
	up := filepath.Join(s.dir, fmt.Sprint("l", len(s.layers)))
	mkdirs(s.t, up)
	if len(s.layers) == 0 {
		fn(up)
	} else {
		work, mnt := up+"-work", up+"-mnt"
		mkdirs(s.t, work, mnt)
		data := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on,metacopy=on",
			strings.Join(s.lowerdirs(), ":"), up, work)
		if err := unix.Mount("overlay", mnt, "overlay", 0, data); err != nil {
			s.t.Skipf("the kernel's overlay: %v", err)
		}
		fn(mnt)
		must(s.t, unix.Unmount(mnt, 0))
	}
	s.layers = append(s.layers, up)
}

// compare mounts the layers by the kernel and by cfs; both show the same tree.
func (s *kernelStack) compare(extra string, data ...string) {
	s.t.Helper()
	mnt := filepath.Join(s.dir, "kernel")
	mkdirs(s.t, mnt, filepath.Join(s.dir, "empty"))
	lowers := strings.Join(s.lowerdirs(), ":")
	if len(s.layers) == 1 && len(data) == 0 {
		lowers += ":" + filepath.Join(s.dir, "empty") // overlay wants two
	}
	for _, d := range data {
		lowers += "::" + d
	}
	must(s.t, unix.Mount("overlay", mnt, "overlay", unix.MS_RDONLY, "redirect_dir=on,metacopy=on,lowerdir="+lowers+extra))
	want := snapshot(s.t, mnt, snapshotOptions{mtime: true})
	must(s.t, unix.Unmount(mnt, 0))
	got, _ := mount(s.t, Options{LowerDirs: s.lowerdirs(), DataDirs: data}, MountOptions{})
	sameTree(s.t, "kernel's overlay and cfs", want, snapshot(s.t, got, snapshotOptions{mtime: true}))
}

// TestLowerKernel: what the kernel wrote as an upper, cfs shows as a lower.
func TestLowerKernel(t *testing.T) {
	base := func(r string) {
		for _, d := range []string{"a/b/c", "x/y", "z"} {
			write(t, filepath.Join(r, d, "f"), "data of "+d+strings.Repeat(".", 9000))
			write(t, filepath.Join(r, d, "g"), "g of "+d)
		}
		write(t, filepath.Join(r, "top"), "top")
	}
	mv := func(from, to string) func(string) {
		return func(r string) { must(t, os.Rename(filepath.Join(r, from), filepath.Join(r, to))) }
	}
	chmod := func(mode os.FileMode, names ...string) func(string) {
		return func(r string) {
			for _, n := range names {
				must(t, os.Chmod(filepath.Join(r, n), mode))
				must(t, os.Chown(filepath.Join(r, n), 5, 6))
			}
		}
	}
	put := func(name, data string) func(string) {
		return func(r string) { write(t, filepath.Join(r, name), data) }
	}
	rm := func(name string) func(string) {
		return func(r string) { must(t, os.RemoveAll(filepath.Join(r, name))) }
	}
	both := func(fns ...func(string)) func(string) {
		return func(r string) {
			for _, fn := range fns {
				fn(r)
			}
		}
	}
	for name, layers := range map[string][]func(string){
		"whiteout":                   {base, rm("a/b/c/f"), rm("x")},
		"opaque":                     {base, both(rm("a"), put("a/new", "n")), put("a/b/again", "x")},
		"relative redirect":          {base, mv("x/y", "x/q")},
		"absolute redirect":          {base, mv("x/y", "z/q")},
		"root level redirect":        {base, mv("a", "r")},
		"redirect of redirect":       {base, mv("a", "r"), mv("r/b", "z/s"), mv("z/s/c", "z/t"), mv("z", "a")},
		"redirect below redirect":    {base, mv("a", "r"), both(mv("r", "s"), mv("s/b", "s/n")), both(mv("s/n", "top2"), put("s/b/f", "new"))},
		"redirect over whiteout":     {base, rm("a/b/c/f"), mv("a/b", "x/b"), put("x/b/c/f", "back")},
		"swap":                       {base, both(mv("a", "t"), mv("x", "a"), mv("t", "x"))},
		"metacopy":                   {base, chmod(0o600, "a/b/c/f", "top")},
		"metacopy of metacopy":       {base, chmod(0o600, "a/b/c/f"), chmod(0o640, "a/b/c/f"), chmod(0o644, "a/b/c/f")},
		"metacopy moved":             {base, both(chmod(0o600, "a/b/c/f"), mv("a/b/c/f", "z/moved"))},
		"metacopy renamed beside":    {base, both(chmod(0o600, "x/y/f"), mv("x/y/f", "x/y/h"))},
		"metacopy moved twice":       {base, both(chmod(0o600, "a/b/c/f"), mv("a/b/c/f", "z/m")), mv("z/m", "x/n"), chmod(0o444, "x/n")},
		"metacopy in redirected":     {base, mv("a/b", "z/b"), chmod(0o600, "z/b/c/f"), mv("z/b/c", "c"), chmod(0o400, "c/f", "c/g")},
		"metacopy, ancestor removed": {base, both(chmod(0o600, "a/b/c/f"), mv("a/b/c/f", "keep")), rm("a"), chmod(0o400, "keep")},
		"written after metacopy":     {base, chmod(0o600, "x/y/f"), put("x/y/f", "whole")},
		"file for directory":         {base, both(rm("a/b"), put("a/b", "file")), both(rm("a/b"), put("a/b/d", "dir"))},
		"hard links":                 {base, both(func(r string) { must(t, os.Link(filepath.Join(r, "top"), filepath.Join(r, "z/top"))) }, chmod(0o600, "top"))},
	} {
		t.Run(name, func(t *testing.T) {
			s := newKernelStack(t)
			for _, fn := range layers {
				s.layer(fn)
			}
			s.compare("")
		})
	}
}

// TestLowerDataOnly: data-only layers serve absolute redirects, and nothing else
// of them shows.
func TestLowerDataOnly(t *testing.T) {
	s := newKernelStack(t)
	data := filepath.Join(s.dir, "data")
	write(t, filepath.Join(data, "d/blob"), "the data")
	s.layer(func(r string) {
		p := filepath.Join(r, "dir/file")
		write(t, p, "")
		must(t, os.Truncate(p, 8))
		must(t, unix.Setxattr(p, trustedMarks+markMetacopy, nil, 0))
		must(t, unix.Setxattr(p, trustedMarks+markRedirect, []byte("/d/blob"), 0))
	})
	s.compare("", data)
	l, err := ParseOptions("lowerdir=/a:/b::/c::/d")
	must(t, err)
	if got := fmt.Sprint(l.LowerDirs, l.DataDirs); got != "[/a /b] [/c /d]" {
		t.Errorf("lowerdir=/a:/b::/c::/d is %s", got)
	}
}

// TestLowerMetacopyRefused: where the kernel refuses a file, cfs refuses its data.
func TestLowerMetacopyRefused(t *testing.T) {
	needMount(t)
	for name, tc := range map[string]struct {
		metacopy, redirect string
		below              func(dir string)
	}{
		"nothing below":     {below: func(string) {}},
		"whiteout below":    {below: func(d string) { must(t, unix.Mknod(filepath.Join(d, "f"), unix.S_IFCHR, 0)) }},
		"AUFS whiteout":     {redirect: "/f", below: func(d string) { write(t, filepath.Join(d, ".wh.f"), "") }},
		"directory below":   {below: func(d string) { mkdirs(t, filepath.Join(d, "f")) }},
		"symlink below":     {below: func(d string) { must(t, os.Symlink("/etc/passwd", filepath.Join(d, "f"))) }},
		"redirect away":     {redirect: "/../f", below: func(d string) { write(t, filepath.Join(d, "f"), "1234") }},
		"redirect up":       {redirect: "..", below: func(string) {}},
		"through a symlink": {redirect: "/l/passwd", below: func(d string) { must(t, os.Symlink("/etc", filepath.Join(d, "l"))) }},
		"short value":       {metacopy: "abc", below: func(d string) { write(t, filepath.Join(d, "f"), "1234") }},
		"unknown version":   {metacopy: "\x01\x04\x00\x00", below: func(d string) { write(t, filepath.Join(d, "f"), "1234") }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := scratch(t)
			top, bottom := filepath.Join(dir, "top"), filepath.Join(dir, "bottom")
			mkdirs(t, top, bottom)
			f := filepath.Join(top, "f")
			write(t, f, "")
			must(t, os.Truncate(f, 4))
			must(t, unix.Setxattr(f, trustedMarks+markMetacopy, []byte(tc.metacopy), 0))
			if tc.redirect != "" {
				must(t, unix.Setxattr(f, trustedMarks+markRedirect, []byte(tc.redirect), 0))
			}
			tc.below(bottom)
			layers := []string{top, bottom}
			if name == "AUFS whiteout" {
				layers = append(layers, filepath.Join(dir, "third"))
				write(t, filepath.Join(dir, "third", "f"), "1234")
			}
			mnt, _ := mount(t, Options{LowerDirs: layers}, MountOptions{})
			if b, err := os.ReadFile(filepath.Join(mnt, "f")); !errors.Is(err, unix.EIO) {
				t.Errorf("read = %q, %v; want EIO", b, err)
			}
		})
	}
	t.Run("digest", func(t *testing.T) {
		dir := scratch(t)
		f := filepath.Join(dir, "top/f")
		write(t, f, "")
		must(t, os.Truncate(f, 4))
		write(t, filepath.Join(dir, "bottom/f"), "1234")
		digest := "\x00\x24\x00\x01" + strings.Repeat("d", 32)
		must(t, unix.Setxattr(f, trustedMarks+markMetacopy, []byte(digest), 0))
		mnt, _ := mount(t, Options{LowerDirs: []string{filepath.Join(dir, "top"), filepath.Join(dir, "bottom")}}, MountOptions{})
		if got := read(t, filepath.Join(mnt, "f")); got != "1234" {
			t.Errorf("read = %q", got)
		}
	})
}
