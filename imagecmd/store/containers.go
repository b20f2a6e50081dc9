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
)

// A Container is what the store reads of containers/<id>/config.json, which
// others write: the fields of this struct are its contract, further ones are
// ignored. It keeps the layers below it from being removed, and, unless an rmi
// is forced, its image.
type Container struct {
	ID      string          `json:"id"`      // also the name of the directory
	Image   string          `json:"image"`   // as it was asked for, "debian:latest"
	ImageID digest.Digest   `json:"imageID"` // digest of the image's config
	Layers  []digest.Digest `json:"layers"`  // diff IDs of the chain, bottom first
	// Running is not in the file: a process holds the container, see [Store.HoldContainer].
	Running bool `json:"-"`
}

// ContainersDir holds a directory for every container.
func (s *Store) ContainersDir() string { return filepath.Join(s.root, "containers") }

// ContainerDir is the directory of one.
func (s *Store) ContainerDir(id string) string { return filepath.Join(s.ContainersDir(), id) }

// HoldContainer takes the lease on containers/<id> by which others see that it
// runs. Whoever supervises its process holds it until that has ended; it ends
// with the supervisor, however that ends.
func (s *Store) HoldContainer(ctx context.Context, id string) (release func(), err error) {
	f, err := lease(ctx, s.ContainerDir(id))
	if err != nil {
		return nil, fmt.Errorf("hold container %s: %w", id, err)
	}
	return func() { f.Close() }, nil
}

// Containers returns the containers of the store, in the order of their IDs. A
// directory without config.json is a container being made or removed, and not
// among them.
func (s *Store) Containers(ctx context.Context) ([]Container, error) {
	entries, err := os.ReadDir(s.ContainersDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var out []Container
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		raw, err := os.ReadFile(filepath.Join(s.ContainersDir(), e.Name(), "config.json"))
		if errors.Is(err, fs.ErrNotExist) || !e.IsDir() {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list containers: %w", err)
		}
		var c Container
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("container %s: config.json: %w", e.Name(), err)
		}
		c.ID = e.Name()
		if c.Running, err = leased(s.ContainerDir(c.ID)); err != nil {
			return nil, fmt.Errorf("container %s: %w", c.ID, err)
		}
		out = append(out, c)
	}
	return out, nil
}
