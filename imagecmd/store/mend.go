package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/durable"
	"github.com/cfs-project/cfs/layerpack"
)

// layer is the packed layer of a diff ID.
func (s *Store) layer(diffID digest.Digest) cow.Layer {
	return cow.Layer{DiffID: diffID, Dir: s.layerPath(diffID)}
}

// leaseLayer leases a packed layer; fs.ErrNotExist means that it must be packed.
// What is made of its tar is made again where it is missing, of another version
// or damaged; a layer whose tar is damaged is taken away. Damage that shows only
// when all of it is read is left to good, which may be nil.
func (s *Store) leaseLayer(ctx context.Context, diffID digest.Digest, good func(cow.Layer) error) (*os.File, error) {
	f, err := lease(ctx, s.layerPath(diffID))
	if err != nil {
		return nil, err
	}
	if err = s.looksGood(diffID); err == nil && good != nil {
		err = good(s.layer(diffID))
	}
	if err == nil {
		return f, nil
	}
	if isDamage(err) {
		if err = s.mendLayer(ctx, diffID); err == nil {
			return f, nil
		}
	}
	f.Close()
	if isDamage(err) {
		err = s.discardLayer(diffID, err)
	}
	return nil, err
}

// looksGood holds the files of a layer, which is leased, against layer.json: in
// microseconds, as every command that uses an image asks it.
func (s *Store) looksGood(diffID digest.Digest) error {
	info, err := s.readLayerInfo(diffID)
	if err != nil {
		return err
	}
	l := s.layer(diffID)
	for path, want := range map[string]int64{l.Tar(): info.TarSize, l.TOC(): info.TOCSize} {
		fi, err := os.Stat(path)
		if err != nil {
			return err
		}
		if fi.Size() != want {
			return fmt.Errorf("%w: %s has %d bytes instead of %d", layerpack.ErrCorrupt, filepath.Base(path), fi.Size(), want)
		}
	}
	return nil
}

// isDamage tells damage of what the store has from errors of the host.
func isDamage(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, layerpack.ErrCorrupt) ||
		errors.Is(err, layerpack.ErrDigest) || errors.Is(err, layerpack.ErrInvalid)
}

// mendLayer makes the table of contents and layer.json of a layer, which is
// leased, again from its tar. They are replaced under whoever uses them, who keeps
// the ones that are open. ErrDigest: the tar isn't the layer's; fs.ErrNotExist:
// there is none.
func (s *Store) mendLayer(ctx context.Context, diffID digest.Digest) error {
	l := s.layer(diffID)
	t, err := s.tempDir("mend")
	if err != nil {
		return err
	}
	defer t.discard()
	made := cow.Layer{DiffID: diffID, Dir: t.path}
	err = os.Link(l.Tar(), made.Tar())
	if isNoLink(err) {
		err = os.Symlink(l.Tar(), made.Tar())
	}
	if err != nil {
		return err
	}
	if err := layerpack.Restore(ctx, made); err != nil {
		return err
	}
	info, err := measureLayer(made)
	if err != nil {
		return err
	}
	if err := writeInfo(t.path, info); err != nil {
		return err
	}
	for _, name := range []string{cow.TOCName, infoName} {
		if err := os.Rename(filepath.Join(t.path, name), filepath.Join(l.Dir, name)); err != nil {
			return err
		}
	}
	return durable.SyncDir(l.Dir)
}

// measureLayer is what layer.json says of a layer.
func measureLayer(l cow.Layer) (layerInfo, error) {
	info := layerInfo{DiffID: l.DiffID}
	tar, err := os.Stat(l.Tar())
	if err != nil {
		return info, err
	}
	toc, err := os.Stat(l.TOC())
	if err != nil {
		return info, err
	}
	info.TarSize, info.TOCSize = tar.Size(), toc.Size()
	info.Size, err = contentSize(l.Tar())
	return info, err
}

func writeInfo(dir string, info layerInfo) error {
	raw, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, infoName), raw)
}

// discardLayer takes a layer away that can't be mended; it is then packed again
// from its blob.
func (s *Store) discardLayer(diffID digest.Digest, why error) error {
	path := s.layerPath(diffID)
	took, err := seize(path)
	if err != nil {
		return err
	}
	if took == nil {
		return fmt.Errorf("layer %s is damaged (%w), and it is in use", diffID, why)
	}
	if err := s.trash(took, path); err != nil {
		return err
	}
	return fmt.Errorf("layer %s is damaged (%w): %w", diffID, why, fs.ErrNotExist)
}
