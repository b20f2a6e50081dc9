package imagecmd

import (
	"errors"
	"io/fs"
)

// amend changes what is written down of the container, as it is now: another command may
// have changed it since c was read, and none does meanwhile. c is that container then.
func (c *Container) amend(change func(*Container)) error {
	names, err := OpenContainers(c.root()).lockNames()
	if errors.Is(err, fs.ErrNotExist) {
		return &noContainer{c.Label()}
	}
	if err != nil {
		return err
	}
	defer names.Close()
	if err := c.reread(); err != nil {
		return err
	}
	change(c)
	return c.rewrite()
}

// reread reads again what is written down of the container, which may have changed before
// it was held.
func (c *Container) reread() error {
	now := Container{}
	err := readJSON(c.path(containerConfig), &now)
	if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
		return &noContainer{c.Label()}
	}
	if err != nil {
		return err
	}
	now.dir, now.lock = c.dir, c.lock
	*c = now
	return nil
}

// rewrite writes the container down. The names are locked, as all who do so read it first.
func (c *Container) rewrite() error {
	err := writeJSON(c.path(containerConfig), c)
	if errors.Is(err, fs.ErrNotExist) { // it is being removed
		return &noContainer{c.Label()}
	}
	return err
}
