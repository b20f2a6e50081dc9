package imagecmd

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// The expected pages have the layout of `docker image ls` 20.10: columns three
// spaces apart, at least ten wide.
func TestImages(t *testing.T) {
	st := newStore(t)
	sized := func(created int64, n int) it.Image {
		return it.New(t, created, it.Tar(t, it.Entry{Name: "f", Data: strings.Repeat("x", n)}))
	}
	const day = 24 * 3600
	bb, deb, none := sized(0, 1_982_000), sized(3*day, 12), sized(1000*day-3, 0)
	mustLoad(t, st, it.File(t, "1.tar", it.Tar(t, it.DockerOld(t, bb, "bb:1", "bb:2", "127.0.0.1:5000/team/bb:1.0")...)))
	mustLoad(t, st, it.File(t, "2.tar", it.Tar(t, it.DockerOld(t, deb, "test/debian")...)))
	mustLoad(t, st, it.File(t, "3.tar", it.Tar(t, it.DockerOld(t, none)...)))
	short := func(i it.Image) string { return i.ID().Encoded()[:12] }
	now := time.Unix(1700000000+1000*day, 0)

	table := strings.NewReplacer("%bb", short(bb), "%deb", short(deb), "%none", short(none), "%BB", string(bb.ID())).Replace
	for name, tc := range map[string]struct {
		o    ImagesOptions
		want string
	}{
		"table": {ImagesOptions{}, `
REPOSITORY               TAG       IMAGE ID       CREATED         SIZE
<none>                   <none>    %none   3 seconds ago   0B
test/debian              latest    %deb   2 years ago     12B
127.0.0.1:5000/team/bb   1.0       %bb   2 years ago     1.98MB
bb                       1         %bb   2 years ago     1.98MB
bb                       2         %bb   2 years ago     1.98MB
`},
		"digests": {ImagesOptions{Digests: true, Reference: "bb"}, `
REPOSITORY   TAG       DIGEST    IMAGE ID       CREATED       SIZE
bb           1         <none>    %bb   2 years ago   1.98MB
bb           2         <none>    %bb   2 years ago   1.98MB
`},
		"no-trunc": {ImagesOptions{NoTrunc: true, Reference: "bb:2"}, `
REPOSITORY   TAG       IMAGE ID                                                                  CREATED       SIZE
bb           2         %BB   2 years ago   1.98MB
`},
		"no match":    {ImagesOptions{Reference: "nosuch"}, "\nREPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"},
		"pattern":     {ImagesOptions{Reference: "*/*", Format: "{{.Repository}}"}, "\ntest/debian\n"},
		"quiet":       {ImagesOptions{Quiet: true}, "\n%none\n%deb\n%bb\n%bb\n%bb\n"},
		"quiet whole": {ImagesOptions{Quiet: true, NoTrunc: true, Reference: "bb:1"}, "\n%BB\n"},
		"format": {ImagesOptions{Reference: "bb:1", Format: "{{.ID}} {{.Repository}} {{.Tag}} {{.Digest}} {{.CreatedSince}} {{.CreatedAt}} {{.Size}}"},
			"\n%bb bb 1 <none> 2 years ago 2023-11-14 22:13:20 +0000 UTC 1.98MB\n"},
		"table format": {ImagesOptions{Reference: "bb:*", Format: `table {{.Repository}}\t{{.Tag}}\t{{.Size}}`}, `
REPOSITORY   TAG       SIZE
bb           1         1.98MB
bb           2         1.98MB
`},
		"functions": {ImagesOptions{Reference: "127.0.0.1:5000/team/bb", Format: `{{upper .Repository}} {{join (split .Tag ".") "/"}} {{pad .ID 2 2}} {{truncate .ID 4}} {{lower .Tag}} {{title .Tag}} {{println}}`},
			"\n127.0.0.1:5000/TEAM/BB 1/0   %bb   " + short(bb)[:4] + " 1.0 1.0 \n\n"},
		"json": {ImagesOptions{Reference: "bb:1", Format: "json"},
			"\n" + `{"Containers":"N/A","CreatedAt":"2023-11-14 22:13:20 +0000 UTC","CreatedSince":"2 years ago","Digest":"\u003cnone\u003e","ID":"%bb","Repository":"bb","SharedSize":"N/A","Size":"1.98MB","Tag":"1","UniqueSize":"N/A","VirtualSize":"1.982MB"}` + "\n"},
	} {
		tc.o.Now = now
		var out bytes.Buffer
		if err := Images(context.Background(), st, tc.o, &out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(table(tc.want[1:]), out.String()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	for format, want := range map[string]string{
		"{{":        "template parsing error: template: :1: unclosed action",
		"{{.Nope}}": "template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *imagecmd.imageRow",
	} {
		if err := Images(context.Background(), st, ImagesOptions{Format: format}, new(bytes.Buffer)); fmt.Sprint(err) != want {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestRemovePrintsAndGoesOn(t *testing.T) {
	st := newStore(t)
	img := it.Simple(t, "x")
	mustLoad(t, st, it.File(t, "1.tar", it.Tar(t, it.DockerOld(t, img, "bb:two", "bb:1")...)))
	var out bytes.Buffer
	err := Remove(context.Background(), st, RemoveOptions{Names: []string{"bb:1", "nosuch", "bb:two", "bb:two"}}, &out)
	if fmt.Sprint(err) != "No such image: nosuch\nNo such image: bb:two" {
		t.Error(err)
	}
	want := "Untagged: bb:1\nUntagged: bb:two\nDeleted: " + string(img.ID()) + "\nDeleted: " + string(mustDiffID(img)) + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestImportIsReproducible(t *testing.T) {
	tar := it.Tar(t, it.Entry{Name: "bin/"}, it.Entry{Name: "bin/sh", Data: "#!"})
	t.Setenv("SOURCE_DATE_EPOCH", "1234567890")
	var ids []string
	for name, o := range map[string]ImportOptions{
		"plain": {Input: it.File(t, "r.tar", tar)},
		"gzip":  {Input: it.File(t, "r.tar.gz", it.Gzip(t, tar))},
		"zstd":  {Input: it.File(t, "r.tar.zst", it.Zstd(t, tar))},
		"xz":    {Input: it.File(t, "r.tar.xz", pipe(t, tar, "xz", "-c"))},
		"bzip2": {Input: it.File(t, "r.tar.bz2", pipe(t, tar, "bzip2", "-c"))},
		"stdin": {Input: "-", Stdin: bytes.NewReader(tar)},
	} {
		st := newStore(t)
		o.Name = "imp:1"
		var out bytes.Buffer
		if err := Import(context.Background(), st, o, &out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ids = append(ids, out.String())
		img := mustChain(t, st, "imp:1")
		if out.String() != string(img.ID)+"\n" || img.Created.Unix() != 1234567890 || img.Config.History[0].Comment != "Imported from -" || img.Config.Architecture == "" {
			t.Errorf("%s: %+v", name, img)
		}
		noTemps(t, st)
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("%q", ids)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	tar := it.Tar(t, it.Entry{Name: "f"})
	for name, o := range map[string]ImportOptions{
		"no such file or directory":      {Input: filepath.Join(t.TempDir(), "none")},
		"invalid":                        {Input: it.File(t, "passwd", bytes.Repeat([]byte("root:x:0:0"), 100))},
		"must be lowercase":              {Input: it.File(t, "r.tar", tar), Name: "BAD"},
		"cannot import digest reference": {Input: it.File(t, "r.tar", tar), Name: "x@" + string(it.Simple(t, "").ID())},
		"import from stdin: ":            {Input: "-", Stdin: bytes.NewReader(tar[:700])},
		"hard links, devices and .wh... are layerpack's tests": {Input: "-", Stdin: bytes.NewReader(it.Tar(t, it.Entry{Name: ".wh..."}))},
	} {
		st := newStore(t)
		err := Import(context.Background(), st, o, new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), name) && len(name) < 50 {
			t.Errorf("%s: %v", name, err)
		}
		if imgs, err := st.Images(context.Background()); len(imgs) > 0 || err != nil {
			t.Error(imgs, err)
		}
		noTemps(t, st)
	}
}

func TestHelloIsMadeOnceAndAgain(t *testing.T) {
	st := newStore(t)
	ctx := context.Background()
	exe := func(b string) string { return it.File(t, "cfs", []byte(b)) }
	one := exe("binary 1")
	img, err := helloOf(ctx, st, one)
	if err != nil {
		t.Fatal(err)
	}
	mustChain(t, st, "cfs/hello")
	if again, err := helloOf(ctx, st, one); err != nil || again.ID != img.ID {
		t.Error(again.ID, err)
	}
	changed, err := helloOf(ctx, st, exe("binary two"))
	if err != nil || changed.ID == img.ID {
		t.Error(changed.ID, err)
	}
	if _, err := st.Resolve(ctx, string(img.ID)); err == nil {
		t.Error("the image of the old binary is still there")
	}
	if imgs, err := st.Images(ctx); err != nil || len(imgs) != 1 {
		t.Error(imgs, err)
	}
	for name, want := range map[string]bool{"cfs/hello": true, "cfs/hello:latest": true, "docker.io/cfs/hello": true, "cfs/hello:1": false, "hello": false, "X Y": false} {
		if IsHello(name) != want {
			t.Error(name)
		}
	}
	if _, err := store.Open("", store.Options{}); err == nil {
		t.Error("opened a store without a directory")
	}
}
