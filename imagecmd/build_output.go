package imagecmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/layerpack"
)

// A BuildOutput is one --output: what is made of the result.
type BuildOutput struct {
	Type string // image, docker, oci, local, tar
	Dest string // a file, or a directory; "-" is the standard output
	Dir  bool   // of oci: a layout in a directory, no tar
}

func (o BuildOutput) String() string {
	if o.Dest == "" {
		return "type=" + o.Type
	}
	return "type=" + o.Type + ",dest=" + o.Dest
}

// ParseBuildOutput reads type=TYPE[,dest=PATH][,name=NAME][,tar=BOOL]; PATH alone is
// type=local, "-" a tar on the standard output. names are further names for the image.
func ParseBuildOutput(s string) (o BuildOutput, names []string, err error) {
	if s == "-" {
		return BuildOutput{Type: "tar", Dest: "-"}, nil, nil
	}
	if !strings.Contains(s, "=") {
		return BuildOutput{Type: "local", Dest: s, Dir: true}, nil, nil
	}
	fields, err := csvFields(s)
	if err != nil {
		return o, nil, fmt.Errorf("output %q: %w", s, err)
	}
	for _, field := range fields {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			return o, nil, fmt.Errorf("output %q: %q is not KEY=VALUE", s, field)
		}
		switch strings.ToLower(key) {
		case "type":
			o.Type = value
		case "dest":
			o.Dest = value
		case "name":
			names = append(names, strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' })...)
		case "tar":
			o.Dir = value == "false" || value == "0"
		default:
			return o, nil, fmt.Errorf("output %q: %q is not supported: there are type, dest, name and tar", s, key)
		}
	}
	switch o.Type {
	case "image":
		if o.Dest != "" {
			return o, nil, fmt.Errorf("output %q: an image goes to the store, and has no dest", s)
		}
	case "docker", "oci", "tar":
		if o.Dest == "" {
			o.Dest = "-"
		}
	case "local":
		if o.Dest == "" || o.Dest == "-" {
			return o, nil, fmt.Errorf("output %q: dest is required for local", s)
		}
		o.Dir = true
	case "":
		return o, nil, fmt.Errorf("output %q: type is required", s)
	default:
		return o, nil, fmt.Errorf("output %q: type %q is not supported: there are image, docker, oci, local and tar", s, o.Type)
	}
	if o.Dir && o.Type != "oci" && o.Type != "local" {
		return o, nil, fmt.Errorf("output %q: tar=false is for oci", s)
	}
	return o, names, nil
}

// toStdout tells that what is asked for goes to the standard output.
func (o BuildOutput) toStdout() bool { return o.Type != "image" && o.Dest == "-" }

// export writes what was built.
func (b *builder) export(ctx context.Context, img store.Image, o BuildOutput) error {
	switch o.Type {
	case "image":
		return nil
	case "docker", "oci":
		return b.exportImage(ctx, img, o)
	case "local":
		return b.exportTree(ctx, img, o.Dest)
	}
	if o.Dest == "-" {
		return b.writeTree(ctx, img, b.out)
	}
	f, err := createOutput(o.Dest)
	if err != nil {
		return err
	}
	if err := b.writeTree(ctx, img, f); err != nil {
		f.abandon()
		return err
	}
	return f.commit()
}

// exportImage writes the image as an archive, with its names.
func (b *builder) exportImage(ctx context.Context, img store.Image, o BuildOutput) error {
	save := SaveOptions{Format: DockerArchive, Output: o.Dest}
	if o.Type == "oci" {
		if save.Format = OCIArchive; o.Dir {
			save.Format = OCIDir
		}
	}
	if o.Dest == "-" {
		save.Output = ""
	}
	for _, n := range b.names {
		save.Images = append(save.Images, n.String())
	}
	if len(save.Images) == 0 {
		save.Images = []string{string(img.ID)}
	}
	return Save(ctx, b.st, save, b.out)
}

// writeTree writes the files of the image as a tar.
func (b *builder) writeTree(ctx context.Context, img store.Image, w io.Writer) error {
	chain, release, err := b.st.Chain(ctx, img)
	if err != nil {
		return err
	}
	defer release()
	_, err = layerpack.Squash(ctx, w, chain.Layers, layerpack.WriteOptions{Epoch: b.epoch})
	return err
}

// exportTree writes the files of the image into a directory, which may hold others. They
// belong to who builds, as BuildKit has it.
func (b *builder) exportTree(ctx context.Context, img store.Image, dir string) error {
	chain, release, err := b.st.Chain(ctx, img)
	if err != nil {
		return err
	}
	defer release()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return copyTree(ctx, chain, dir)
}
