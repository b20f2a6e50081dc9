package suites

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
)

// snapshotter is a stack as containerd's snapshots.Snapshotter. Its trees have
// containerd's numbers as names; names, labels and kinds are in containerd's database.
type snapshotter struct {
	meta  *storage.MetaStore
	stack *stack
}

func newSnapshotter(root string, s *stack) (*snapshotter, error) {
	meta, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"))
	return &snapshotter{meta, s}, err
}

func (s *snapshotter) Stat(ctx context.Context, key string) (info snapshots.Info, err error) {
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		_, info, _, err = storage.GetInfo(ctx, key)
		return err
	})
	return info, err
}

func (s *snapshotter) Update(ctx context.Context, info snapshots.Info, fields ...string) (out snapshots.Info, err error) {
	err = s.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		out, err = storage.UpdateInfo(ctx, info, fields...)
		return err
	})
	return out, err
}

func (s *snapshotter) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	return s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		return storage.WalkInfo(ctx, fn, filters...)
	})
}

func (s *snapshotter) Usage(ctx context.Context, key string) (usage snapshots.Usage, err error) {
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		id, info, u, err := storage.GetInfo(ctx, key)
		if usage = u; err == nil && info.Kind == snapshots.KindActive {
			usage, err = s.usage(id)
		}
		return err
	})
	return usage, err
}

// usage is what a tree's change takes.
func (s *snapshotter) usage(id string) (snapshots.Usage, error) {
	n, names, err := size(filepath.Join(s.stack.dir(id), "change"))
	return snapshots.Usage{Size: n, Inodes: names}, err
}

func (s *snapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.create(ctx, snapshots.KindActive, key, parent, opts)
}

func (s *snapshotter) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.create(ctx, snapshots.KindView, key, parent, opts)
}

func (s *snapshotter) create(ctx context.Context, k snapshots.Kind, key, parent string, opts []snapshots.Opt) (ms []mount.Mount, err error) {
	err = s.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		snap, err := storage.CreateSnapshot(ctx, k, key, parent, opts...)
		if err != nil {
			return err
		}
		below := ""
		if len(snap.ParentIDs) > 0 {
			below = snap.ParentIDs[0]
		}
		if err := s.stack.create(ctx, snap.ID, below, k == snapshots.KindView); err != nil {
			return err
		}
		ms, err = s.mounts(ctx, snap)
		return err
	})
	return ms, err
}

func (s *snapshotter) Mounts(ctx context.Context, key string) (ms []mount.Mount, err error) {
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		snap, err := storage.GetSnapshot(ctx, key)
		if err == nil {
			ms, err = s.mounts(ctx, snap)
		}
		return err
	})
	return ms, err
}

// mounts are a bind mount of where the driver has mounted the tree.
func (s *snapshotter) mounts(ctx context.Context, snap storage.Snapshot) ([]mount.Mount, error) {
	at, err := s.stack.attach(ctx, snap.ID)
	if err != nil {
		return nil, err
	}
	how := "rw"
	if snap.Kind == snapshots.KindView {
		how = "ro"
	}
	return []mount.Mount{{Type: "bind", Source: at, Options: []string{"rbind", how}}}, nil
}

func (s *snapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		id, _, _, err := storage.GetInfo(ctx, key)
		if err != nil {
			return err
		}
		usage, err := s.usage(id)
		if err != nil {
			return err
		}
		if _, err := storage.CommitActive(ctx, key, name, usage, opts...); err != nil {
			return err
		}
		return s.stack.freeze(ctx, id)
	})
}

func (s *snapshotter) Remove(ctx context.Context, key string) error {
	return s.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		id, _, err := storage.Remove(ctx, key)
		if err != nil {
			return err
		}
		s.stack.remove(ctx, id)
		return nil
	})
}

func (s *snapshotter) Close() error { return s.meta.Close() }

func TestSnapshotter(t *testing.T) {
	for _, name := range driversToTest {
		t.Run(name, func(t *testing.T) {
			at := ground(t, name)
			t.Run("suite", func(t *testing.T) {
				testsuite.SnapshotterSuite(t, name, func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
					st, err := newStack(root, newDriver(t, name, filepath.Join(root, "drivers")))
					if err != nil {
						return nil, nil, err
					}
					s, err := newSnapshotter(root, st)
					return s, func() error { return errors.Join(s.Close(), st.close(context.WithoutCancel(ctx))) }, err
				})
			})
			left, err := os.ReadDir(at)
			for _, e := range left {
				if e.Name() != "lost+found" {
					err = errors.Join(err, fmt.Errorf("%s is left", e.Name()))
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
