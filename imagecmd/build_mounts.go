package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/buildcontext"
	"github.com/cfs-project/cfs/imagecmd/dockerfile"
	"github.com/cfs-project/cfs/imagecmd/internal/piped"
	"github.com/cfs-project/cfs/layerpack"
)

// runMounts are the --mounts of one RUN.
type runMounts struct {
	s       *stageBuild
	list    []*instructions.Mount // targets absolute
	depends []string              // what the step depends on because of them
	trees   map[int]*mountedTree  // of type=bind, and of type=cache with a from=
	files   []shownFile
	env     []string // NAME=VALUE, of secrets
	undo    []func() error
}

// mountedTree is what a bind mount shows.
type mountedTree struct {
	chain *cow.Chain
	path  string
	pack  func(ctx context.Context) (*cow.Chain, error) // makes chain, where the tree is not one yet
}

// A packedTree is a part of a context that bind mounts show.
type packedTree struct {
	once  sync.Once
	chain cow.Chain
	err   error
}

// runMounts reads the mounts of a RUN. Trees are looked at, as the step depends on them.
func (s *stageBuild) runMounts(ctx context.Context, c *instructions.RunCommand) (*runMounts, error) {
	m := &runMounts{s: s, list: instructions.GetMounts(c), trees: map[int]*mountedTree{}}
	for i, mount := range m.list {
		if mount.Target != "" {
			if mount.Target = path.Clean(mount.Target); !path.IsAbs(mount.Target) {
				mount.Target = path.Join("/", s.config.Config.WorkingDir, mount.Target)
			}
			if mount.Target == "/" {
				return nil, fmt.Errorf("invalid mount target %q", mount.Target)
			}
		}
		if err := m.look(ctx, i, mount); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// look finds out what the step depends on because of a mount.
func (m *runMounts) look(ctx context.Context, i int, mount *instructions.Mount) error {
	text := string(mount.Type) + " " + mount.Target
	switch mount.Type {
	case instructions.MountTypeBind, instructions.MountTypeCache:
		if mount.Target == "" {
			return fmt.Errorf("a mount of type %s needs a target", mount.Type)
		}
		if mount.Type == instructions.MountTypeCache && mount.From == "" {
			break
		}
		t, content, err := m.tree(ctx, mount)
		if err != nil {
			return fmt.Errorf("mount %s: %w", mount.Target, err)
		}
		m.trees[i] = t
		text += " " + content + " " + t.path + " " + strconv.FormatBool(mount.ReadOnly)
	case instructions.MountTypeTmpfs:
		if mount.Target == "" {
			return fmt.Errorf("a mount of type tmpfs needs a target")
		}
		text += " " + strconv.FormatInt(mount.SizeLimit, 10)
	case instructions.MountTypeSecret: // what it holds is nobody's business
		if mount.Env != nil {
			text += " env " + *mount.Env
		}
	case instructions.MountTypeSSH:
		if mount.Source != "" {
			return errors.New("ssh does not support source")
		}
	}
	m.depends = append(m.depends, text)
	return nil
}

// tree is what a mount shows, and the identity of its content.
func (m *runMounts) tree(ctx context.Context, mount *instructions.Mount) (*mountedTree, string, error) {
	from, err := m.s.b.plan.From(m.s.s, mount.From)
	if err != nil {
		return nil, "", err
	}
	source := path.Join("/", mount.Source)
	if !from.IsZero() {
		n, err := m.s.b.source(ctx, m.s, from)
		if err != nil {
			return nil, "", err
		}
		if n.chain != nil {
			return &mountedTree{chain: n.chain, path: source}, string(n.chain.ID), nil
		}
		return m.selected(ctx, n.source, source)
	}
	return m.selected(ctx, m.s.b.context.Source, source)
}

// selected is a mount of a part of a context, without what the context ignores.
//
// It is a copy, packed as a layer by the first step that is done with it, and shown by
// all that mount the same content until the build ends. The directory itself would cost
// nothing; but a step is known by what its mounts held, so that what somebody changes
// meanwhile must not be in it (BuildKit takes a snapshot, too), and files have other
// owners there than in a container.
func (m *runMounts) selected(ctx context.Context, src *buildcontext.Source, at string) (*mountedTree, string, error) {
	b := m.s.b
	what := buildcontext.Copy{From: src, Paths: []string{at}, Dest: "/"}
	sel, err := what.Select(ctx, buildcontext.SelectOptions{Time: b.now, Digests: b.digests})
	if err != nil {
		return nil, "", err
	}
	b.atEnd(sel.Close)
	content, err := sel.Digest(ctx)
	if err != nil {
		return nil, "", err
	}
	t := &mountedTree{path: "/"}
	if sel.Kind() == "file" {
		t.path = path.Join("/", path.Base(at))
	}
	t.pack = func(ctx context.Context) (*cow.Chain, error) { return b.packed(ctx, content, sel) }
	return t, content.String(), nil
}

// packed is a tree of what is selected, whose digest is content.
func (b *builder) packed(ctx context.Context, content digest.Digest, sel *buildcontext.Selection) (*cow.Chain, error) {
	b.mu.Lock()
	t := b.shown[content]
	if t == nil {
		t = &packedTree{}
		b.shown[content] = t
	}
	b.mu.Unlock()
	t.once.Do(func() {
		var discard func()
		if t.chain, discard, t.err = b.st.ScratchChain(ctx, piped.From(writeSelection(ctx, sel))); t.err == nil {
			b.atEnd(func() error { discard(); return nil })
		}
	})
	return &t.chain, t.err
}

// open makes the mounts part of how a container runs.
func (m *runMounts) open(ctx context.Context, o *RunOptions, script dockerfile.Script) error {
	for i, mount := range m.list {
		if err := m.add(ctx, i, mount, o); err != nil {
			return errors.Join(err, m.close())
		}
	}
	if f := script.File; f != nil {
		m.files = append(m.files, shownFile{
			Target: path.Join(dockerfile.ScriptDir, f.Name), Data: []byte(f.Data), fileOwner: fileOwner{Mode: 0o755},
		})
	}
	return nil
}

func (m *runMounts) add(ctx context.Context, i int, mount *instructions.Mount, o *RunOptions) error {
	b := m.s.b
	switch mount.Type {
	case instructions.MountTypeTmpfs:
		options := []string{"nosuid", "nodev"}
		if mount.SizeLimit > 0 {
			options = append(options, "size="+strconv.FormatInt(mount.SizeLimit, 10))
		}
		o.Mounts = append(o.Mounts, MountOption{Type: "tmpfs", Target: mount.Target, Options: options})
	case instructions.MountTypeSecret:
		return m.secret(mount, o)
	case instructions.MountTypeSSH:
		return m.agent(ctx, mount, o)
	case instructions.MountTypeBind:
		w, err := m.view(ctx, m.trees[i], mount)
		if err != nil {
			return err
		}
		o.views = append(o.views, w)
	case instructions.MountTypeCache:
		w := view{Target: mount.Target, Writable: !mount.ReadOnly, Owner: ownerOf(mount, 0o755)}
		dir, release, err := b.cacheDir(ctx, mount, m.trees[i])
		if err != nil {
			return err
		}
		m.undo = append(m.undo, release)
		if t := m.trees[i]; t != nil {
			if w, err = m.view(ctx, t, mount); err != nil {
				return err
			}
			w.Keep, w.Writable = dir, true
		} else {
			w.Host = path.Join(dir, "data")
		}
		o.views = append(o.views, w)
	}
	o.places.Mounts = append(o.places.Mounts, mount.Target)
	return nil
}

// view is the mount of a tree.
func (m *runMounts) view(ctx context.Context, t *mountedTree, mount *instructions.Mount) (view, error) {
	chain := t.chain
	if chain == nil {
		var err error
		if chain, err = t.pack(ctx); err != nil {
			return view{}, fmt.Errorf("mount %s: %w", mount.Target, err)
		}
	}
	return view{Target: mount.Target, Writable: !mount.ReadOnly, Chain: chain, Source: t.path}, nil
}

// ownerOf is whose a mount's file is, 0:0 unless it says otherwise.
func ownerOf(m *instructions.Mount, mode uint32) *fileOwner {
	o := &fileOwner{Mode: mode}
	if m.UID != nil {
		o.UID = int(*m.UID)
	}
	if m.GID != nil {
		o.GID = int(*m.GID)
	}
	if m.Mode != nil {
		o.Mode = uint32(*m.Mode)
	}
	return o
}

// secret shows a secret, which is in memory only, or puts it into the environment.
func (m *runMounts) secret(mount *instructions.Mount, o *RunOptions) error {
	id := mount.CacheID
	if mount.Source != "" {
		id = mount.Source
	}
	if id == "" {
		id = path.Base(mount.Target)
	}
	data, ok, err := m.s.b.secrets.get(id)
	if err != nil {
		return err
	}
	if !ok {
		if mount.Required {
			return fmt.Errorf("secret %s: not found", id)
		}
		return nil
	}
	if mount.Env != nil {
		name := *mount.Env
		if name == "" {
			name = id
		}
		if strings.ContainsRune(string(data), 0) {
			return fmt.Errorf("secret %s has a NUL byte, which the environment can't hold", id)
		}
		m.env = append(m.env, name+"="+string(data))
		if mount.Target == "" {
			return nil
		}
	}
	target := mount.Target
	if target == "" {
		target = "/run/secrets/" + path.Base(id)
	}
	m.files = append(m.files, shownFile{Target: target, Data: data, fileOwner: *ownerOf(mount, 0o400)})
	o.places.Mounts = append(o.places.Mounts, target)
	return nil
}

// close ends what was made for the mounts.
func (m *runMounts) close() error {
	var errs []error
	for i := len(m.undo) - 1; i >= 0; i-- {
		errs = append(errs, m.undo[i]())
	}
	m.undo, m.files, m.env = nil, nil, nil
	return errors.Join(errs...)
}

// writeSelection writes what is selected as a layer on nothing.
func writeSelection(ctx context.Context, sel *buildcontext.Selection) func(w io.Writer) error {
	return func(w io.Writer) error {
		_, err := layerpack.WriteLayer(ctx, w, sel.Entries(ctx, nil), layerpack.WriteOptions{})
		return err
	}
}
