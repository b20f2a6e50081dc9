package buildcontext

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// A directory that becomes a symbolic link after it was looked at leads nowhere.
func TestSwappedForLink(t *testing.T) {
	top := t.TempDir()
	makeTree(t, filepath.Join(top, "secret"), "f f 644 secret", "f g 644 secret", "d e 755")
	for _, swap := range []func(dir string){
		func(dir string) { // the directory on the way
			must(t, os.RemoveAll(dir+"/d"))
			must(t, os.Symlink("../secret", dir+"/d"))
		},
		func(dir string) { // the file itself
			must(t, os.Remove(dir+"/d/f"))
			must(t, os.Symlink("../../secret/f", dir+"/d/f"))
		},
	} {
		for _, digest := range []bool{true, false} {
			dir := makeTree(t, filepath.Join(top, "ctx"), "f d/f 644 public")
			sel, err := Copy{From: dirSource(t, dir, ""), Paths: []string{"."}, Dest: "/"}.Select(context.Background(), SelectOptions{})
			must(t, err)
			swap(dir)
			if digest {
				if _, err := sel.Digest(context.Background()); err == nil {
					t.Error("a digest of what was swapped")
				}
			}
			got, err := lines(sel.Entries(context.Background(), nil))
			if err == nil || strings.Contains(strings.Join(got, "\n"), "secret") {
				t.Errorf("%q, %v", got, err)
			}
			must(t, sel.Close())
			must(t, os.RemoveAll(dir))
		}
	}
}

// Links that lead round and round, and up without end, end.
func TestLinkLoops(t *testing.T) {
	dir := makeTree(t, t.TempDir(), "l a b", "l b a", "l c c/c/c", "l up "+strings.Repeat("../", 100)+"f", "f f 644 f")
	src := dirSource(t, dir, "")
	for _, p := range []string{"a", "c", "c/x"} {
		if _, err := run(t, Copy{From: src, Paths: []string{p}, Dest: "/"}, SelectOptions{}, ""); err == nil || !strings.Contains(err.Error(), "too many levels of symbolic links") {
			t.Errorf("%s: error %v", p, err)
		}
	}
	got, err := run(t, Copy{From: src, Paths: []string{"up"}, Dest: "/"}, SelectOptions{}, "")
	if err != nil || len(got) != 1 || got[0] != "A /up f644 =f" {
		t.Errorf("%q, %v", got, err)
	}
	// The same in the lower tree.
	if _, err := run(t, Copy{From: src, Paths: []string{"f"}, Dest: "/a/x"}, SelectOptions{}, dir); err == nil || !strings.Contains(err.Error(), "too many levels") {
		t.Errorf("error %v", err)
	}
}

// Of what is no file, directory or link only what a layer can hold is taken, and none is opened.
func TestSpecialFiles(t *testing.T) {
	dir := makeTree(t, t.TempDir(), "s sock", "p fifo 640", "f f 644 f")
	var notes []string
	o := SelectOptions{Note: func(p, what string) { notes = append(notes, p+": "+what) }}
	got, err := run(t, Copy{From: dirSource(t, dir, ""), Paths: []string{"."}, Dest: "/"}, o, "")
	must(t, err)
	if strings.Join(got, "\n") != "A /f f644 =f\nA /fifo p640" || strings.Join(notes, "\n") != "sock: a socket: left out" {
		t.Errorf("%q, %q", got, notes)
	}
}

// A stage keeps its owners, and is copied straight from its layers.
func TestFromTree(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	dir := makeTree(t, t.TempDir(), "f d/a 644 a", "h d/b d/a", "l d/l a")
	must(t, os.Lchown(dir+"/d/a", 5, 6))
	b, err := cow.OpenTree(dir)
	must(t, err)
	defer b.Close()
	got, err := run(t, Copy{From: FromTree("stage x", b, ""), Paths: []string{"d"}, Dest: "/n"}, SelectOptions{}, "")
	must(t, err)
	if strings.Join(got, "\n") != "A /n d755\nA /n/a f644 5:6 #1 =a\nA /n/b f644 5:6 #1 =a\nA /n/l l777 ->a" {
		t.Errorf("%q", got)
	}
	_, err = run(t, Copy{From: FromTree("stage x", b, ""), Paths: []string{"none"}, Dest: "/n"}, SelectOptions{}, "")
	if err == nil || err.Error() != "file not found in stage x: stat none: file does not exist" {
		t.Errorf("error %v", err)
	}
}

// Capabilities, and holes, are the copy's, too.
func TestCapabilitiesAndHoles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	dir := makeTree(t, t.TempDir(), "f cap 755 x", "f holes 644 x")
	netBind := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // struct vfs_cap_data
	must(t, unix.Setxattr(dir+"/cap", "security.capability", []byte(netBind), 0))
	f, err := os.OpenFile(dir+"/holes", os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("end"), 4<<20)
	must(t, err)
	must(t, f.Close())
	sel, err := Copy{From: dirSource(t, dir, ""), Paths: []string{"."}, Dest: "/"}.Select(context.Background(), SelectOptions{})
	must(t, err)
	defer sel.Close()
	_, err = sel.Digest(context.Background())
	must(t, err)
	var tar bytes.Buffer
	w, err := layerpack.WriteLayer(context.Background(), &tar, sel.Entries(context.Background(), nil), layerpack.WriteOptions{})
	must(t, err)
	if w.TarSize > 1<<20 {
		t.Errorf("the layer has %d bytes: the hole is written", w.TarSize)
	}
	p, err := packTar(context.Background(), &tar, t.TempDir(), 0)
	must(t, err)
	defer p.close()
	x, err := p.base.Xattrs("/cap")
	must(t, err)
	if x["security.capability"] != netBind {
		t.Errorf("%q", x)
	}
	if a, _, err := p.base.Lookup("/holes"); err != nil || a.Size != 4<<20+3 {
		t.Errorf("%+v, %v", a, err)
	}
}
