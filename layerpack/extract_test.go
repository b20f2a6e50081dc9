package layerpack

import (
	"archive/tar"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// extract puts the tree of the topmost of layers below base.
func extract(t testing.TB, layers []cow.Layer, base string, o ExtractOptions) (string, Extracted) {
	t.Helper()
	dst, err := os.MkdirTemp(base, "tree")
	if err != nil {
		t.Fatal(err)
	}
	top := len(layers) - 1
	o.Below = layers[:top]
	got, err := Extract(context.Background(), layers[top], dst, o)
	if err != nil {
		t.Fatal(err)
	}
	return dst, got
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: needs root, for owners and devices")
	}
}

func TestExtractOneLayer(t *testing.T) {
	needRoot(t)
	layers := everything(t)
	x, _ := buildOpen(t, layers[:1])
	dst, got := extract(t, layers[:1], t.TempDir(), ExtractOptions{})
	diff(t, "the tree against the index", without(indexView(t, x, layers[:1]), dropDirLinks), without(hostView(t, dst), dropDirLinks))
	diff(t, "result", Extracted{Files: int(x.Inodes()) - 4, Dirs: 3, Bytes: got.Bytes}, got)
}

// TestExtractDialects looks at how deletion is written down.
func TestExtractDialects(t *testing.T) {
	needRoot(t)
	layers := packChain(t,
		tarOf(t, dir("d/"), file("d/old", ""), file("f", ""), dir("r/"), file("r/x", ""), file("top", "")),
		tarOf(t, file("d/.wh..wh..opq", ""), file("d/new", ""), file(".wh.f", ""), link("r", "x"), dir("r/"), file(".wh.nothing", "")))
	for d, want := range map[whiteout.Dialect]map[string]string{
		whiteout.Trusted:      {"": "", "d": "trusted.overlay.opaque=y", "d/new": "", "f": "0:0", "r": "trusted.overlay.opaque=y"},
		whiteout.User:         {"": "", "d": "user.overlay.opaque=y", "d/new": "", "f": "0:0", "r": "user.overlay.opaque=y"},
		whiteout.TrustedFiles: {"": "trusted.overlay.opaque=x", "d": "trusted.overlay.opaque=y", "d/new": "", "f": "trusted.overlay.whiteout=y", "r": "trusted.overlay.opaque=y"},
		whiteout.FuseOverlay:  {"": "", "d": "user.fuseoverlayfs.opaque=y", "d/new": "", "f": "0:0", "r": "user.fuseoverlayfs.opaque=y"},
		whiteout.AUFS:         {"": "", "d": "", "d/.wh..wh..opq": "", "d/new": "", ".wh.f": "", "r": "", "r/.wh..wh..opq": ""},
	} {
		t.Run(d.String(), func(t *testing.T) {
			dst, res := extract(t, layers, t.TempDir(), ExtractOptions{Dialect: d})
			got := make(map[string]string)
			for p, v := range hostView(t, dst) {
				s := ""
				for k, x := range v.Xattrs {
					s = k + "=" + x
				}
				if v.Mode&unix.S_IFMT == unix.S_IFCHR && v.Rdev == 0 {
					s = "0:0"
				}
				got[p] = s
			}
			diff(t, "tree", want, got)
			diff(t, "result", Extracted{Files: 1, Dirs: 2, Whiteouts: 1, Opaques: 2}, res)
		})
	}
}

// TestExtractAcrossLayers: what refers to layers below.
func TestExtractAcrossLayers(t *testing.T) {
	needRoot(t)
	private := dir("p/")
	private.Mode, private.Uid = 0o700, 9
	layers := packChain(t,
		tarOf(t, private, dir("usr/lib/"), link("lib", "usr/lib"), file("usr/lib/a", "content")),
		tarOf(t, file("lib/b", "through the link"), hard("c", "lib/a"), hard("c2", "usr/lib/a"), file("p/x", "")))
	dst, res := extract(t, layers, t.TempDir(), ExtractOptions{Dialect: whiteout.Trusted})
	all := hostView(t, dst)
	if len(all) != 8 || all["usr/lib/b"].Size != 16 || all["c"].Data == "" || all["c2"].SameInode != "c" || all["p"].UID != 9 || all["p"].Mode != unix.S_IFDIR|0o700 {
		t.Errorf("%+v, %+v", all, res)
	}
	diff(t, "result", Extracted{Files: 3, Dirs: 3, Bytes: 16 + 7}, res)
}

// TestExtractHostile: a layer can't speak to the overlay that will be mounted
// over its tree.
func TestExtractHostile(t *testing.T) {
	needRoot(t)
	d := dir("d/")
	d.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/../../etc", "SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.com.apple.x": "y"}
	layers := packChain(t, tarOf(t, dir("d/"), file("d/below", "")), tarOf(t, d, node0("null", tar.TypeChar, 0, 0)))
	dst, res := extract(t, layers, t.TempDir(), ExtractOptions{Dialect: whiteout.Trusted})
	all := hostView(t, dst)
	diff(t, "attributes", map[string]string{"trusted.overlay.overlay.redirect": "/../../etc", "user.overlay.opaque": "y"}, all["d"].Xattrs)
	diff(t, "result", Extracted{Dirs: 1, SkippedDevices: 1, SkippedXattrs: 1}, res)
	if _, ok := all["null"]; ok {
		t.Error("a 0:0 device was made")
	}
}

// TestExtractSparse: holes stay holes.
func TestExtractSparse(t *testing.T) {
	b := paxTar(t, 'x', "GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.size=1000000000", "GNU.sparse.map=524288,512", "size=512")
	copy(b[len(b)-1536:], strings.Repeat("d", 512))
	layers := packChain(t, b)
	x, _ := buildOpen(t, layers)
	e := must(x.Lookup(x.Root(), []byte("f")))
	diff(t, "extents", []Extent{{-1, 0, 524288}, {0, 1536, 512}, {-1, 0, 1e9 - 524288 - 512}}, must(x.Extents(e.NID, 0, 1e9, nil)))
	dst, res := extract(t, layers, t.TempDir(), ExtractOptions{Rootless: true})
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dst, "f"), &st); err != nil || st.Size != 1e9 || st.Blocks > 1<<16 || res.Bytes != 512 {
		t.Errorf("%+v, %v, %+v", st, err, res)
	}
	f := must(os.Open(filepath.Join(dst, "f")))
	defer f.Close()
	got := make([]byte, 514)
	if _, err := f.ReadAt(got, 524287); err != nil || string(got) != "\x00"+strings.Repeat("d", 512)+"\x00" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestExtractRootless runs in a user namespace that maps one id, as a person
// without sub-uids has it.
func TestExtractRootless(t *testing.T) {
	const env = "CFS_TEST_ROOTLESS_TREE"
	owned := file("owned", "x")
	owned.Uid, owned.Gid = 1000, 1000
	closed := dir("closed/")
	closed.Mode = 0
	caps := file("caps", "x")
	caps.PAXRecords = map[string]string{"SCHILY.xattr.trusted.x": "y", "SCHILY.xattr.user.x": "y"}
	layers := func() []cow.Layer {
		return packChain(t, tarOf(t, file("gone", ""), file("closed/old", "")),
			tarOf(t, owned, caps, closed, file("closed/.wh..wh..opq", ""), file("closed/in", "data"), hard("out", "closed/in"), file(".wh.gone", ""), node0("null", tar.TypeChar, 1, 3)))
	}
	if base := os.Getenv(env); base != "" {
		o := ExtractOptions{Dialect: whiteout.User, Rootless: true}
		dst, res := extract(t, layers(), base, o)
		diff(t, "result", Extracted{Files: 3, Dirs: 1, Whiteouts: 1, Opaques: 1, Bytes: 6, SkippedOwners: 1, SkippedDevices: 1, SkippedXattrs: 1}, res)
		all := names(t, dst)
		diff(t, "names", []string{"caps", "closed", "gone", "out", "owned"}, all)
		var st unix.Stat_t
		unix.Lstat(filepath.Join(dst, "closed"), &st)
		if st.Mode != unix.S_IFDIR {
			t.Errorf("mode %o", st.Mode)
		}
		o.Rootless = false
		o.Below = layers()[:1]
		if _, err := Extract(context.Background(), layers()[1], t.TempDir(), o); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
			t.Errorf("without Rootless: %v", err)
		}
		return
	}
	base, err := os.MkdirTemp("", "rootless")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestExtractRootless$", "-test.v")
	cmd.Env = append(os.Environ(), env+"="+base, "TMPDIR="+base)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		t.Skipf("NOT RUN: no user namespaces here: %v", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestExtractStops(t *testing.T) {
	layers := packChain(t, tarOf(t, dir("d/"), file("d/f", "x")))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Extract(ctx, layers[0], t.TempDir(), ExtractOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := Extract(context.Background(), layers[0], filepath.Join(t.TempDir(), "no"), ExtractOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	dst := t.TempDir()
	os.Symlink("/nowhere", filepath.Join(dst, "d"))
	if _, err := Extract(context.Background(), layers[0], dst, ExtractOptions{}); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
}
