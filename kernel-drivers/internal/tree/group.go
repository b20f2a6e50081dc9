package tree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// TempSuffix is what a tree's name ends with until it is complete.
const TempSuffix = ".tmp"

// A Group is the directory of the trees that this process can use.
type Group struct {
	Dir string
	// Drop removes a tree, or what is half made of one; nil is Remove.
	Drop func(dir, name string) error
}

// OwnGroup is the group of this process below home. The directory is made by
// Open.
func OwnGroup(home string) (Group, error) {
	if sys.Privileged() {
		return Group{Dir: filepath.Join(home, "trusted")}, nil
	}
	h := sha256.New()
	for _, name := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		data, err := os.ReadFile(name)
		if err != nil {
			return Group{}, fmt.Errorf("read id mapping: %w", err)
		}
		h.Write(data)
		h.Write([]byte{0})
	}
	return Group{Dir: filepath.Join(home, "user-"+hex.EncodeToString(h.Sum(nil)[:6]))}, nil
}

// A Recipe says how a tree is made. Fill is given an empty directory, or what Make made.
type Recipe struct {
	Make func(temp string) error // nil makes an empty directory
	Fill func(temp string) error // leaves all on disk
}

// A Tree is a complete tree, locked shared.
type Tree struct {
	Path string
	fd   int    // the directory; holds the lock
	end  func() // comes before the lock is given up; may be nil
}

// Release gives up the lock. The zero Tree has none.
func (t Tree) Release() {
	if t.end != nil {
		t.end()
	}
	if t.Path != "" {
		unix.Close(t.fd)
	}
}

// At is t for those who find its content at another path, such as that of a mount, until
// end, which Release calls.
func (t Tree) At(path string, end func()) Tree { return Tree{Path: path, fd: t.fd, end: end} }

// Open locks the tree called id, and makes it first if it is not there. It waits for
// others who make it until ctx ends.
func (g Group) Open(ctx context.Context, id digest.Digest, r Recipe) (Tree, error) {
	if err := id.Validate(); err != nil {
		return Tree{}, fmt.Errorf("tree %q: %w", id, err)
	}
	if err := os.MkdirAll(g.Dir, 0o700); err != nil {
		return Tree{}, err
	}
	final := filepath.Join(g.Dir, id.Encoded())
	for {
		fd, err := openLocked(ctx, final, unix.LOCK_SH)
		if err == nil {
			return Tree{Path: final, fd: fd}, nil
		}
		if !errors.Is(err, unix.ENOENT) {
			return Tree{}, err
		}
		// Whoever makes it locks the directory under its temporary name. The lock
		// belongs to the directory, not the name, so the ones who wait for it find
		// out that it was renamed.
		temp := final + TempSuffix
		made := true
		if err := r.make(temp); errors.Is(err, os.ErrExist) {
			made = false
		} else if err != nil {
			return Tree{}, err
		}
		fd, err = openLocked(ctx, temp, unix.LOCK_EX)
		if errors.Is(err, unix.ENOENT) {
			continue // another process has finished it, or begun anew
		}
		if err != nil {
			return Tree{}, err
		}
		if !made { // what a killed process left
			err := g.drop(filepath.Base(temp))
			unix.Close(fd)
			if err != nil {
				return Tree{}, err
			}
			continue
		}
		if err := g.finish(ctx, r, temp, final, fd); err != nil {
			unix.Close(fd)
			return Tree{}, err
		}
		return Tree{Path: final, fd: fd}, nil
	}
}

// finish fills temp, which the caller has locked with fd, and gives it its name.
func (g Group) finish(ctx context.Context, r Recipe, temp, final string, fd int) error {
	if err := r.Fill(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, final); err != nil {
		return err
	}
	if err := sys.SyncDir(g.Dir); err != nil {
		return err
	}
	if err := flock(ctx, fd, unix.LOCK_SH); err != nil {
		return fmt.Errorf("lock %s: %w", final, err)
	}
	return nil
}

func (r Recipe) make(temp string) error {
	if r.Make != nil {
		return r.Make(temp)
	}
	return os.Mkdir(temp, 0o700)
}

func (g Group) drop(name string) error {
	if g.Drop != nil {
		return g.Drop(g.Dir, name)
	}
	return Remove(g.Dir, name)
}

// ChainID is the OCI image spec's "Layer ChainID" of the layers, bottom first;
// empty for none.
func ChainID(layers []cow.Layer) digest.Digest {
	var id digest.Digest
	for i, l := range layers {
		if i == 0 {
			id = l.DiffID
		} else {
			id = digest.FromString(id.String() + " " + l.DiffID.String())
		}
	}
	return id
}
