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

// usable tells what a layer directory, which is leased, lacks for being mounted:
// nil when nothing, an error that is mendable when only what is made of its tar.
func (s *Store) usable(diffID digest.Digest) error {
	if err := layerpack.CheckTOC(s.layer(diffID)); err != nil {
		return err
	}
	_, err := s.readLayerInfo(diffID)
	return err
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
	fi, err := os.Stat(l.Tar())
	if err != nil {
		return info, err
	}
	info.TarSize = fi.Size()
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
