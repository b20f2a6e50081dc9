package layerpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// ExtractAll writes the tree that layers, bottom first, come to into the
// directory dst, which must exist and be empty: what the index of the chain is,
// with hard links across layers. o.Below is not looked at. All is on disk when it
// returns; after an error dst holds a part of the tree.
func ExtractAll(ctx context.Context, layers []cow.Layer, dst string, o ExtractOptions) (Extracted, error) {
	m, _, err := mergeChain(ctx, layers)
	if err != nil {
		return Extracted{}, fmt.Errorf("extract: %w", err)
	}
	x := &extraction{
		ctx: ctx, o: o, layers: layers, tars: make([]*os.File, len(layers)), root: m.root, whole: true,
		changed: make(map[*node]bool), first: make(map[*node]string),
	}
	defer x.close()
	x.survey(m.root)
	if err := x.run(dst); err != nil {
		return x.out, fmt.Errorf("extract: %w", err)
	}
	return x.out, nil
}

// Apply turns the tree at dst, which is that of o.Below as ExtractAll or Apply
// wrote it, into that of the chain with l on top. What l doesn't change is not
// touched, so that a snapshot of dst shares it. All is on disk when it returns;
// after an error dst is neither tree.
func Apply(ctx context.Context, l cow.Layer, dst string, o ExtractOptions) (Extracted, error) {
	x, err := newExtraction(ctx, l, o)
	if err != nil {
		return Extracted{}, fmt.Errorf("apply layer %s: %w", l.DiffID, err)
	}
	defer x.close()
	x.onto = true
	x.known(x.root, "")
	if err := x.run(dst); err != nil {
		return x.out, fmt.Errorf("apply layer %s: %w", l.DiffID, err)
	}
	return x.out, nil
}

// known notes where inodes of lower layers are that have several names, so that
// a new one is a link.
func (x *extraction) known(d *node, path string) {
	for name, n := range d.dir.kids {
		at := path + "/" + name
		if n.isDir() {
			x.known(n, at)
			continue
		}
		if n.nlink < 2 || n.layer == x.top {
			continue
		}
		if d.dir.delta != nil {
			if _, touched := d.dir.delta.below[name]; touched {
				continue // it may have to be made itself
			}
		}
		x.first[n] = at
	}
}

// clear removes what a lower layer has in the place of step s in directory d,
// open as fd. Done means that there is nothing to make there.
func (x *extraction) clear(fd int, d *node, s step) (done bool, err error) {
	if s.node == nil {
		x.out.Whiteouts++
		return true, removeAll(fd, s.name)
	}
	if s.node.isDir() && !x.opaque(d, s.name, s.node) {
		err := again(func() error { return unix.Unlinkat(fd, s.name, 0) })
		if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
			return false, nil // EPERM is POSIX's word for a directory
		}
		return false, err
	}
	return false, removeAll(fd, s.name)
}

// removeAll removes name in the directory dir, with what it holds. That it is
// not there is no error.
func removeAll(dir int, name string) error {
	err := again(func() error { return unix.Unlinkat(dir, name, 0) })
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	fd, oerr := openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if oerr != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := removeAll(fd, n); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	return again(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}

// dropXattrs removes from the directory open as fd the attributes that n has not
// got: an entry of a layer replaces them all. The host's labels stay.
func dropXattrs(fd int, n *node) error {
	keep := map[string]bool{"security.selinux": true}
	for _, a := range n.xattrs() {
		keep[a.name] = true
	}
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX
	var size int
	err := again(func() (err error) {
		size, err = unix.Flistxattr(fd, buf)
		return err
	})
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list xattrs: %w", err)
	}
	for name := range bytes.SplitSeq(buf[:size], []byte{0}) {
		if len(name) == 0 || keep[string(name)] {
			continue
		}
		err := again(func() error { return unix.Fremovexattr(fd, string(name)) })
		if err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return nil
}
