package imagecmd

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Containers are the containers below one store's root.
type Containers struct{ root string }

// OpenContainers gives access to the containers of the store at root.
func OpenContainers(root string) Containers { return Containers{root: root} }

func (cs Containers) dir() string { return filepath.Join(cs.root, "containers") }

var nameRule = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`) })

// Create makes the directory of a new container, held by this process. It
// appears whole or not at all: it is made under a name that no reader looks at.
func (cs Containers) Create(c Container) (*Container, error) {
	var id [32]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	c.ID = hex.EncodeToString(id[:])
	c.Created = time.Now().UTC()
	names, err := cs.makeAndLockNames()
	if err != nil {
		return nil, err
	}
	defer names.Close()
	switch {
	case c.Name != "":
		err = cs.freeName(c.Name)
	case c.MountedAt == "":
		c.Name, err = cs.newName()
	}
	if err != nil {
		return nil, err
	}
	undo, err := cs.makeVolumes(c.Options.Mounts)
	if err != nil {
		return nil, err
	}
	tmp := filepath.Join(cs.dir(), ".new-"+c.ID)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, errors.Join(err, undo())
	}
	made, err := c.fill(tmp, filepath.Join(cs.dir(), c.ID))
	if err != nil {
		os.RemoveAll(tmp)
		return nil, errors.Join(err, undo())
	}
	return made, nil
}

// newName is a name that no container has. The names are locked.
func (cs Containers) newName() (string, error) {
	all, err := cs.List()
	taken := map[string]bool{}
	for _, c := range all {
		taken[c.Name] = true
	}
	return containerName(taken), err
}

// freeName refuses a name that is none, or that a container has. The names are locked.
func (cs Containers) freeName(name string) error {
	if !nameRule().MatchString(name) {
		return sentencef(nil, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	all, err := cs.List()
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Name == name {
			return sentencef(ErrNameInUse, "Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to remove (or rename) that container to be able to reuse that name.", name, other.ID)
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
// left half made is not one, nor is what was to go with a process that is gone.
func (cs Containers) List() ([]*Container, error) {
	all, err := cs.withLeft()
	return slices.DeleteFunc(all, (*Container).left), err
}

// withLeft is List with those that a killed process was to remove, or had begun to.
func (cs Containers) withLeft() ([]*Container, error) {
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
	return findContainer(all, name)
}

// findWithLeft is Find, and else among those that a killed process was to remove.
func (cs Containers) findWithLeft(name string) (*Container, error) {
	c, err := cs.Find(name)
	if !errors.Is(err, ErrNoContainer) {
		return c, err
	}
	all, err := cs.withLeft()
	if err != nil {
		return nil, err
	}
	return findContainer(all, name)
}

func findContainer(all []*Container, name string) (*Container, error) {
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
