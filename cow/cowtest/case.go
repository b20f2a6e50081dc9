package cowtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// C is one running case: a chain, a snapshot of it, and its mount.
type C struct {
	*testing.T
	h    Harness
	root string // name of the test that called Run
	drv  cow.Driver
	snap cow.Snapshot
	dir  string // where the mount is
	m    cow.Mount
}

func rootName(t *testing.T) string {
	name, _, _ := strings.Cut(t.Name(), "/")
	return name
}

// limit tells whether the driver declares l, and says so in the log.
func (c *C) limit(l Limit) bool {
	c.Helper()
	why, ok := c.h.Limits[l]
	if ok {
		c.Logf("known limit: %s: %s", l, why)
	}
	return ok
}

func (c *C) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// wants checks that err is errno.
func (c *C) wants(what string, err error, errno unix.Errno) {
	c.Helper()
	if !errors.Is(err, errno) {
		c.Errorf("%s: %v, want %v", what, err, errno)
	}
}

// chain packs layers and checks, when the case ends, that nobody wrote to them.
func (c *C) chain(layers ...Layer) cow.Chain {
	c.Helper()
	ch := c.h.Chain(c.T, layers...)
	before := chainDigest(c.T, ch)
	c.Cleanup(func() {
		if after := chainDigest(c.T, ch); before != after {
			c.Errorf("the chain was changed: %s", cmp.Diff(before, after))
		}
	})
	return ch
}

func chainDigest(t testing.TB, ch cow.Chain) string {
	var b strings.Builder
	files := []string{}
	for _, l := range ch.Layers {
		files = append(files, l.Tar(), l.TOC())
	}
	if ch.Index != "" {
		files = append(files, ch.Index)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(filepath.Base(name) + " " + hex.EncodeToString(h.Sum(nil)[:8]) + "\n")
	}
	return b.String()
}

// start makes a snapshot of layers and mounts it read-write.
func (c *C) start(layers ...Layer) {
	c.Helper()
	c.drv = c.h.New(c.T)
	c.snap = cow.Snapshot{Dir: c.h.scratch(c.T), Base: c.chain(layers...)}
	c.must(c.drv.Create(c.Context(), c.snap))
	c.mount()
}

// view mounts the chain alone.
func (c *C) view(layers ...Layer) {
	c.Helper()
	c.drv = c.h.New(c.T)
	c.snap = cow.Snapshot{Base: c.chain(layers...)}
	c.dir = mountPoint(c.T)
	c.m = c.attach(c.drv, c.snap, c.dir, cow.MountOptions{ReadOnly: true, Suid: true, Dev: true})
}

func (c *C) mount() {
	c.Helper()
	c.dir = mountPoint(c.T)
	c.m = c.attach(c.drv, c.snap, c.dir, cow.MountOptions{Suid: true, Dev: true})
}

// mountPoint is a directory whose removal is left to the test.
func mountPoint(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (c *C) attach(d cow.Driver, s cow.Snapshot, dir string, o cow.MountOptions) cow.Mount {
	c.Helper()
	m, err := d.Mount(context.Background(), s, dir, o)
	c.must(err)
	c.Cleanup(func() {
		select {
		case <-m.Done():
		default:
			if err := m.Unmount(); err != nil {
				c.Errorf("unmounting at the end: %v", err)
				unix.Unmount(dir, unix.MNT_DETACH)
			}
		}
	})
	return m
}

func (c *C) unmount() {
	c.Helper()
	c.must(c.m.Unmount())
	select {
	case <-c.m.Done():
	case <-time.After(5 * time.Second):
		c.Error("Done is not closed 5 s after Unmount returned")
	}
}

// remount takes the snapshot through the life of another process: a new driver.
func (c *C) remount() {
	c.Helper()
	c.unmount()
	c.mount()
}

// p is a path in the mount.
func (c *C) p(rel string) string { return c.dir + "/" + rel }

func (c *C) write(rel, data string) {
	c.Helper()
	c.must(os.WriteFile(c.p(rel), []byte(data), 0o644))
}

func (c *C) has(rel, want string) {
	c.Helper()
	got, err := os.ReadFile(c.p(rel))
	if err != nil {
		c.Error(err)
	} else if string(got) != want {
		c.Errorf("%s is %q, want %q", rel, abbreviate(string(got)), abbreviate(want))
	}
}

func (c *C) gone(rel string) {
	c.Helper()
	var st unix.Stat_t
	c.wants("lstat "+rel, unix.Lstat(c.p(rel), &st), unix.ENOENT)
}

func (c *C) stat(rel string) unix.Stat_t {
	c.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(c.p(rel), &st); err != nil {
		c.Fatalf("lstat %s: %v", rel, err)
	}
	return st
}

func (c *C) names(rel string, want ...string) {
	c.Helper()
	entries, err := os.ReadDir(c.p(rel))
	c.must(err)
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.Errorf("names in %s:\n%s", rel, diff)
	}
}

func abbreviate(s string) string {
	if len(s) > 60 {
		return s[:40] + "…" + s[len(s)-10:]
	}
	return s
}

// changes checks what Changes lists, as "A /path".
func (c *C) changes(want ...string) {
	c.Helper()
	var got []string
	for ch, err := range c.drv.Changes(c.Context(), c.snap) {
		c.must(err)
		got = append(got, ch.Kind.String()+" "+ch.Path)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.Errorf("changes:\n%s", diff)
	}
}

// same checks that the mount is the tree want, but for declared limits.
func (c *C) same(want Tree) {
	c.Helper()
	got, err := Walk(c.dir)
	c.must(err)
	want = c.limited(want, got)
	if diff := cmp.Diff(want, got); diff != "" {
		c.Errorf("the tree differs (-want +got):\n%s", diff)
	}
}

// limited is what the driver promises in place of want. Times nobody set are
// taken from got.
func (c *C) limited(want, got Tree) Tree {
	c.Helper()
	squash, nodev := c.limit(OwnersSquashed), c.limit(DevicesLeftOut)
	split, hidden := c.limit(LinksEndAtLayer), c.limit(HiddenLinksCount)
	out := Tree{}
	for p, n := range want {
		g := got[p]
		if t := n.Mode & unix.S_IFMT; nodev && (t == unix.S_IFCHR || t == unix.S_IFBLK) {
			continue
		}
		if squash {
			n.UID, n.GID = uint32(os.Getuid()), uint32(os.Getgid())
		}
		if n.Mtime == 0 {
			n.Mtime = g.Mtime
		}
		if split && n.Links != "" || hidden && n.Links == "" && n.Mode&unix.S_IFMT != unix.S_IFDIR {
			n.Links = g.Links
		}
		out[p] = n
	}
	return out
}
