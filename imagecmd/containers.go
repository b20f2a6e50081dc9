package imagecmd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// Containers are the containers below one store's root.
type Containers struct{ root string }

// OpenContainers gives access to the containers of the store at root.
func OpenContainers(root string) Containers { return Containers{root: root} }

func (cs Containers) dir() string { return filepath.Join(cs.root, "containers") }

var nameRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// Create makes the directory of a new container, held by this process. It
// appears whole or not at all: it is made under a name that no reader looks at.
func (cs Containers) Create(c Container) (*Container, error) {
	var id [32]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	c.ID = hex.EncodeToString(id[:])
	c.Created = time.Now().UTC()
	if err := os.MkdirAll(cs.dir(), 0o711); err != nil {
		return nil, err
	}
	names, err := cs.lockNames()
	if err != nil {
		return nil, err
	}
	defer names.Close()
	if c.Name != "" {
		if err := cs.freeName(c.Name); err != nil {
			return nil, err
		}
	}
	tmp := filepath.Join(cs.dir(), ".new-"+c.ID)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, err
	}
	made, err := c.fill(tmp, filepath.Join(cs.dir(), c.ID))
	if err != nil {
		os.RemoveAll(tmp)
		return nil, err
	}
	return made, nil
}

// freeName refuses a name that is none, or that a container has. The names are locked.
func (cs Containers) freeName(name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	all, err := cs.List()
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Name == name {
			return fmt.Errorf("%w: %q is %s", ErrNameInUse, name, other.ShortID())
		}
	}
	return nil
}

func (c Container) fill(tmp, final string) (*Container, error) {
	if err := os.Mkdir(filepath.Join(tmp, containerRootfs), 0o755); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(tmp, containerConfig), c); err != nil {
		return nil, err
	}
	lock, err := tryLock(tmp, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, final); err != nil {
		lock.Close()
		return nil, err
	}
	c.dir, c.lock = final, lock
	return &c, nil
}

// List returns every container, oldest first. A directory that a killed process
// left half made is not one.
func (cs Containers) List() ([]*Container, error) {
	entries, err := os.ReadDir(cs.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*Container
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		c := &Container{dir: filepath.Join(cs.dir(), e.Name())}
		err := readJSON(filepath.Join(c.dir, containerConfig), c)
		if errors.Is(err, fs.ErrNotExist) {
			continue // being removed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Created.Before(all[j].Created) })
	return all, nil
}

// Find returns the container with a name, an ID or an unambiguous beginning of
// an ID, or ErrNoContainer.
func (cs Containers) Find(name string) (*Container, error) {
	all, err := cs.List()
	if err != nil {
		return nil, err
	}
	var found *Container
	for _, c := range all {
		if c.Name == name || c.ID == name {
			return c, nil
		}
		if len(name) >= 2 && strings.HasPrefix(c.ID, name) {
			if found != nil {
				return nil, sentencef(nil, "Multiple IDs found with provided prefix: %s", name)
			}
			found = c
		}
	}
	if found == nil {
		return nil, &noContainer{name}
	}
	return found, nil
}

// sweep removes what killed processes left: directories half made or half
// removed, and containers that were to go with their process.
func (cs Containers) sweep(ctx context.Context, drivers []cow.Driver) error {
	names, err := cs.lockNames() // nobody is making one
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer names.Close()
	entries, err := os.ReadDir(cs.dir())
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		name, dir := e.Name(), filepath.Join(cs.dir(), e.Name())
		if strings.HasPrefix(name, ".new-") || strings.HasPrefix(name, ".gone-") {
			if lock, err := tryLock(dir, unix.LOCK_EX); err == nil {
				errs = append(errs, os.RemoveAll(dir))
				lock.Close()
			}
		}
	}
	all, err := cs.List()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, c := range all {
		if !c.AutoRemove {
			errs = append(errs, c.sweepGroup())
			continue
		}
		// Not hold, which waits a little: nearly all of these live.
		if c.lock, err = tryLock(c.dir, unix.LOCK_EX); err == nil {
			errs = append(errs, c.remove(ctx, drivers))
			c.close()
		}
	}
	return errors.Join(errs...)
}
