package unionfs

import (
	"os"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// TestHeritageIsOfTheCopy: what a directory hands on is not kept while it is in
// the lower alone, for its copy may have to do without an ACL.
func TestHeritageIsOfTheCopy(t *testing.T) {
	needMount(t) // root: to own what is made
	fill := func(low string) { must(t, os.Mkdir(low+"/d", 0o755)) }
	both(t, fill, func(t *testing.T, open func() Options, dir string) {
		f, err := New(open())
		must(t, err)
		defer f.Close()
		var a fuse.Attr
		n, err := f.lookup(f.root, "d", &a)
		must(t, err)
		in := &fuse.CreateIn{InHeader: fuse.InHeader{NodeId: n.id}, Mode: 0o644}
		if s := f.Tmpfile(nil, in, new(fuse.CreateOut)); s != fuse.OK {
			t.Fatal(s)
		}
		if n.hasUpper() || n.dir.heir != nil {
			t.Errorf("after a file without a name: copied %t, heritage %v", n.hasUpper(), n.dir.heir)
		}
		if s := f.Mknod(nil, &fuse.MknodIn{InHeader: in.InHeader, Mode: 0o100644}, "f", new(fuse.EntryOut)); s != fuse.OK {
			t.Fatal(s)
		}
		if !n.hasUpper() || n.dir.heir == nil {
			t.Errorf("after one with a name: copied %t, heritage %v", n.hasUpper(), n.dir.heir)
		}
	})
}
