package imagecmd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// finish gives the image its names, writes what was asked for and says what was built.
func (b *builder) finish(ctx context.Context, r buildResult) error {
	if r.image.ID == "" {
		return sentencef(nil, "No image was generated. Is your Dockerfile empty?")
	}
	if b.o.Squash {
		if err := b.squash(ctx, &r); err != nil {
			return err
		}
	}
	if unused := b.plan.Unused(); len(unused) > 0 {
		b.warn(fmt.Sprintf("One or more build-args [%s] were not consumed", strings.Join(unused, " ")))
	}
	for _, to := range b.o.CacheTo {
		if err := b.exportCache(ctx, to); err != nil {
			return err
		}
	}
	b.print.printf("Successfully built %s\n", r.image.ID.Encoded()[:12])
	for _, n := range b.names {
		if err := b.st.Tag(ctx, string(r.image.ID), n); err != nil {
			return err
		}
		b.print.printf("Successfully tagged %s\n", reference.FamiliarString(n))
	}
	for _, o := range b.o.Outputs {
		if err := b.export(ctx, r.image, o); err != nil {
			return fmt.Errorf("output %s: %w", o, err)
		}
	}
	if err := b.writeResult(r); err != nil {
		return err
	}
	if b.o.Quiet {
		_, err := fmt.Fprintln(b.out, r.image.ID)
		return err
	}
	return b.print.failed()
}

// squash makes the layers on top of the base one.
func (b *builder) squash(ctx context.Context, r *buildResult) error {
	o := SquashOptions{Image: string(r.image.ID), Note: func(path, what string) { b.warn(path + ": " + what) }}
	keep := kept{image: r.base}
	if r.base != "" {
		base, err := b.st.Resolve(ctx, string(r.base))
		if err != nil {
			return err
		}
		keep.layers = len(base.Config.RootFS.DiffIDs)
	}
	if len(r.image.Config.RootFS.DiffIDs) == keep.layers {
		return nil // there is nothing to squash
	}
	id, err := o.squash(ctx, b.st, r.image, keep, nil)
	if err != nil {
		return fmt.Errorf("squash image %s: %w", r.image.ID, err)
	}
	r.image, err = b.st.Resolve(ctx, string(id))
	return err
}

// writeResult writes the files that tell of the image.
func (b *builder) writeResult(r buildResult) error {
	if b.o.IIDFile != "" {
		if err := writeNote(b.o.IIDFile, []byte(r.image.ID)); err != nil {
			return fmt.Errorf("--iidfile: %w", err)
		}
	}
	if b.o.MetadataFile == "" {
		return nil
	}
	meta := map[string]any{
		"containerimage.config.digest": r.image.ID,
		"containerimage.digest":        r.image.Manifest.Digest,
		"containerimage.descriptor":    plainDescriptor(r.image),
	}
	var names []string
	for _, n := range b.names {
		names = append(names, n.String())
	}
	if len(names) > 0 {
		meta["image.name"] = strings.Join(names, ",")
	}
	raw, err := json.MarshalIndent(meta, "", "  ")
	if err == nil {
		err = writeNote(b.o.MetadataFile, append(raw, '\n'))
	}
	if err != nil {
		return fmt.Errorf("--metadata-file: %w", err)
	}
	return nil
}

// plainDescriptor is what an image's manifest is called by, without what only this
// store knows of it.
func plainDescriptor(img store.Image) any {
	d := img.Manifest
	d.Annotations = nil
	return d
}

// prepareResults tells, before anything is done, what couldn't be written in the end, and removes the file that tells of
// an image, so that a failed build leaves none.
func (o BuildOptions) prepareResults() error {
	for _, out := range o.Outputs {
		if out.Type == "image" || out.Dir || out.toStdout() {
			continue
		}
		if _, err := checkOutput(out.Dest); err != nil {
			return fmt.Errorf("output %s: %w", out, err)
		}
	}
	if o.MetadataFile != "" {
		if err := checkNote(o.MetadataFile); err != nil {
			return fmt.Errorf("--metadata-file: %w", err)
		}
	}
	if o.IIDFile == "" {
		return nil
	}
	if err := checkNote(o.IIDFile); err != nil {
		return fmt.Errorf("--iidfile: %w", err)
	}
	if err := removeNote(o.IIDFile); err != nil {
		return fmt.Errorf("removing image ID file: %w", err)
	}
	return nil
}
