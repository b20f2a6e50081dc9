package imagecmd

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/hello"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// HelloName is the built-in image.
const HelloName = "cfs/hello:latest"

// annotationBinary says, in the line of index.json, which binary the image was
// made of: its size and modification time, as hashing it at each run would cost
// more than the run.
const annotationBinary = "io.cfs.hello.binary"

// IsHello tells whether a name is the built-in image's.
func IsHello(name string) bool {
	ref, err := reference.ParseNormalizedNamed(name)
	return err == nil && reference.FamiliarString(reference.TagNameOnly(ref)) == HelloName
}

// Hello returns the built-in image: the running binary, and two small layers of
// which the upper replaces a file of the lower and deletes another. It is put
// into the store when it is not there or was made of another binary.
func Hello(ctx context.Context, st *store.Store) (store.Image, error) {
	img, err := helloOf(ctx, st, "/proc/self/exe")
	if err != nil {
		return store.Image{}, fmt.Errorf("assemble %s: %w", HelloName, err)
	}
	return img, nil
}

func helloOf(ctx context.Context, st *store.Store, binary string) (store.Image, error) {
	f, err := os.Open(binary)
	if err != nil {
		return store.Image{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return store.Image{}, err
	}
	stamp := fmt.Sprintf("%d@%d", fi.Size(), fi.ModTime().UnixNano())
	img, err := st.Resolve(ctx, HelloName)
	if err == nil && img.Target.Annotations[annotationBinary] == stamp {
		return img, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Image{}, err
	}
	if err := putHello(ctx, st, f, fi, stamp); err != nil {
		return store.Image{}, err
	}
	return st.Resolve(ctx, HelloName)
}

func putHello(ctx context.Context, st *store.Store, binary io.ReaderAt, fi os.FileInfo, stamp string) error {
	in, err := st.Begin(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	config := ocispec.Image{Platform: ocispec.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}}
	created := fi.ModTime().UTC().Truncate(time.Second)
	config.Created = &created
	config.RootFS.Type = "layers"
	var layers []ocispec.Descriptor
	var ids []string
	for _, l := range helloLayers(binary, fi.Size()) {
		got, err := in.Layer(ctx, store.LayerSource{Size: -1, Open: func() (io.ReadCloser, error) { return io.NopCloser(l.tar), nil }})
		if err != nil {
			return err
		}
		layers = append(layers, got.Descriptor)
		ids = append(ids, string(got.DiffID))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, got.DiffID)
		config.History = append(config.History, ocispec.History{Created: &created, CreatedBy: "cfs: " + l.what})
	}
	config.Config = ocispec.ImageConfig{
		Entrypoint: []string{"/" + hello.Name},
		Env:        []string{"PATH=/", hello.LayersEnv + "=" + strings.Join(ids, ",")},
		WorkingDir: "/",
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return err
	}
	desc, err := in.Bytes(ctx, ocispec.MediaTypeImageConfig, raw)
	if err != nil {
		return err
	}
	target, err := putManifest(ctx, in, desc, layers)
	if err != nil {
		return err
	}
	if _, err := in.Chain(ctx, config, layers); err != nil {
		return err
	}
	target.Annotations = map[string]string{annotationBinary: stamp}
	name, err := reference.ParseNormalizedNamed(HelloName)
	if err != nil {
		return err
	}
	displaced, err := in.Commit(ctx, target, name)
	if err != nil {
		return err
	}
	return dropOld(ctx, st, displaced, desc.Digest)
}

// dropOld removes the image of an older binary, unless something uses it.
func dropOld(ctx context.Context, st *store.Store, displaced []store.Displaced, now digest.Digest) error {
	for _, d := range displaced {
		if d.ID == now {
			continue
		}
		_, err := st.Remove(ctx, string(d.ID), store.RemoveOptions{})
		if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

type helloLayer struct {
	what string
	tar  io.Reader
}

// helloLayers is the image, bottom first. The same binary gives the same bytes.
func helloLayers(binary io.ReaderAt, size int64) []helloLayer {
	const (
		program = "the cfs program, and directories to mount on"
		files   = "a few files"
		changes = "one of them replaced, one deleted"
	)
	list := hello.List{
		Layers: []string{program, files, changes},
		Files: []hello.File{
			{Path: "/" + hello.Name, In: []int{1}},
			{Path: "/etc/passwd", In: []int{2}},
			{Path: hello.ListPath, In: []int{2}},
			{Path: hello.GreetingPath, In: []int{2, 3}},
			{Path: "/hello/draft.txt", In: []int{2}, Deleted: 3},
		},
	}
	text := func(name, content string) tarEntry {
		return tarEntry{strings.TrimPrefix(name, "/"), 0o644, []byte(content)}
	}
	directory := func(name string, mode int64) tarEntry { return tarEntry{name + "/", mode, nil} }

	head := tarBytes(false, directory("dev", 0o755), directory("proc", 0o555), directory("sys", 0o555), directory("tmp", 0o1777))
	head = append(head, tarHeader(hello.Name, 0o755, size)...)
	tail := make([]byte, (512-size%512)%512+1024)
	return []helloLayer{
		{program, io.MultiReader(bytes.NewReader(head), io.NewSectionReader(binary, 0, size), bytes.NewReader(tail))},
		{files, bytes.NewReader(tarBytes(true,
			directory("etc", 0o755),
			text("etc/passwd", "root:x:0:0:root:/:/"+hello.Name+"\n"),
			directory("hello", 0o755),
			text("hello/draft.txt", "Nobody will read this.\n"),
			text(hello.GreetingPath, "hello from layer 2\n"),
			text(hello.ListPath, list.String()),
		))},
		{changes, bytes.NewReader(tarBytes(true,
			directory("hello", 0o755),
			text("hello/.wh.draft.txt", ""),
			text(hello.GreetingPath, "hello from layer 3, on top of the one in layer 2\n"),
		))},
	}
}

type tarEntry struct {
	name string // a directory's ends in a slash
	mode int64
	data []byte
}

func tarHeader(name string, mode, size int64) []byte {
	h := &tar.Header{Name: name, Mode: mode, Size: size, Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Format: tar.FormatUnknown}
	if strings.HasSuffix(name, "/") {
		h.Typeflag = tar.TypeDir
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		panic(err) // names and modes are constants of this file
	}
	return b.Bytes()
}

// tarBytes is a tar of small entries, owned by root, dated 1970.
func tarBytes(end bool, entries ...tarEntry) []byte {
	var b []byte
	for _, e := range entries {
		b = append(b, tarHeader(e.name, e.mode, int64(len(e.data)))...)
		b = append(b, e.data...)
		b = append(b, make([]byte, (512-len(e.data)%512)%512)...)
	}
	if end {
		b = append(b, make([]byte, 1024)...)
	}
	return b
}
