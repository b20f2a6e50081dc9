package imagecmd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// A buildStep is one step: what it depends on, and how it is done.
type buildStep struct {
	createdBy string   // of the history; part of the key
	depends   []string // what else the step depends on, and the history doesn't tell
	running   bool     // it is said to run in something that goes then, though nothing needs to
	// layer makes the step's layer on the image before it; nil, or a nil layer, is none.
	layer func(ctx context.Context, in *store.Ingest) (*store.Layer, error)
}

// key is the digest of all that the step depends on.
func (s *stageBuild) key(x buildStep) digest.Digest {
	parts := []string{"1", string(s.parentID()), store.FormatPlatform(s.st.Platform()), x.createdBy}
	if s.b.epoch != nil {
		parts = append(parts, "epoch "+s.b.epoch.UTC().Format("2006-01-02T15:04:05Z"))
	}
	raw, err := json.Marshal(append(parts, x.depends...))
	if err != nil {
		panic(err) // strings
	}
	return digest.FromBytes(raw)
}

// do finds the step's image, or makes it. The stage stands on it then.
//
// Of several builds that come to one step at once, one does it.
func (s *stageBuild) do(ctx context.Context, x buildStep) error {
	key := s.key(x)
	if found, err := s.find(ctx, key); found || err != nil {
		return err
	}
	release, err := s.st.ClaimStep(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	if err := s.b.cache.refresh(ctx); err != nil {
		return err
	}
	if found, err := s.find(ctx, key); found || err != nil {
		return err
	}
	if found, err := s.adopt(ctx, x, key); found || err != nil {
		return err
	}
	return s.make(ctx, x, key)
}

// find looks for the step among those that builds here have done.
func (s *stageBuild) find(ctx context.Context, key digest.Digest) (bool, error) {
	img, hold, err := s.b.cache.find(ctx, s.st, key)
	if hold == nil || err != nil {
		return false, err
	}
	config, err := readImageConfig(ctx, s.st, img)
	if err != nil {
		hold.Close()
		return false, err
	}
	s.keep(hold)
	s.stand(img, config)
	s.out.cached()
	return true, nil
}

// stand makes an image the one that the stage stands on.
func (s *stageBuild) stand(img store.Image, config imageConfig) {
	config.cloneForChange()
	s.image, s.config = img, config
}

// make does the step.
func (s *stageBuild) make(ctx context.Context, x buildStep, key digest.Digest) error {
	var doing [32]byte // who does it, as a container's ID
	rand.Read(doing[:])
	if x.running {
		s.out.running(hex.EncodeToString(doing[:]))
	}
	in, err := s.st.Begin(ctx)
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			in.Close()
		}
	}()
	n := newImage{Config: s.config, Parent: s.parentID(), Step: key}
	n.Config.cloneForChange()
	if n.Layers, err = in.Take(ctx, s.image); err != nil {
		return err
	}
	var layer *store.Layer
	if x.layer != nil {
		if layer, err = x.layer(ctx, in); err != nil {
			return err
		}
	}
	created := s.b.now
	if s.b.epoch == nil {
		created = timeOr(nil)
	}
	line := ocispec.History{Created: &created, Author: n.Config.Author, CreatedBy: x.createdBy, EmptyLayer: layer == nil}
	if err := s.put(ctx, in, n, layer, line); err != nil {
		return err
	}
	if x.running {
		s.out.removed(hex.EncodeToString(doing[:]))
	}
	s.keep(in)
	kept = true
	return nil
}

// put makes the image of a step, with its line of the history and its layer, if there is one.
func (s *stageBuild) put(ctx context.Context, in *store.Ingest, n newImage, layer *store.Layer, line ocispec.History) error {
	n.Config.Created, n.Config.Comment, n.Config.Container = line.Created, "", ""
	n.Config.History = append(n.Config.History, line)
	if layer != nil {
		n.Layers = append(n.Layers, layer.Descriptor)
		n.Config.RootFS.DiffIDs = append(n.Config.RootFS.DiffIDs, layer.DiffID)
	}
	target, _, err := n.putTarget(ctx, in)
	if err != nil {
		return err
	}
	img, err := s.st.Image(ctx, target)
	if err != nil {
		return err
	}
	s.b.cache.add(n.Step, target)
	s.stand(img, n.Config)
	return nil
}
