package unionfs

import (
	"context"
	"iter"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/whiteout"
)

// Changes implements [cow.Driver].
func (d *Driver) Changes(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Change, error] {
	return ofUpper(ctx, s, cow.Upper.Changes)
}

// Diff implements [cow.Driver]: files that lack data are completed while they
// are read.
func (d *Driver) Diff(ctx context.Context, s cow.Snapshot) iter.Seq2[cow.Entry, error] {
	return ofUpper(ctx, s, cow.Upper.Diff)
}

// ofUpper is what list says of the upper directory of s, on the chain's index.
func ofUpper[T any](ctx context.Context, s cow.Snapshot, list func(cow.Upper) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		dialect, err := upperDialect()
		if err != nil {
			yield(none, err)
			return
		}
		ns := dialect.Namespace()
		base, err := layerpack.OpenBase(s.Base, func(name string) bool { return hiddenXattr(ns.Stored(name)) })
		if err != nil {
			yield(none, err)
			return
		}
		defer base.Close()
		u := cow.Upper{Dir: filepath.Join(s.Dir, upperSub), Dialect: dialect, Base: base}
		if dialect == whiteout.User {
			// What this process could not give an object is in its attributes.
			u.Attr, u.XattrName = overrideAttr, decodedXattr
		}
		for c, err := range list(u) {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// upperDialect is how this process writes an upper directory, see openUpper.
func upperDialect() (whiteout.Dialect, error) {
	p, err := privileges()
	if p.caps && p.initUserns {
		return whiteout.Trusted, err
	}
	return whiteout.User, err
}

// overrideAttr puts an object's override_stat over what stat told.
func overrideAttr(a *cow.Attr, xattr func(name string) (string, bool)) error {
	v, ok := xattr(overrideXattr)
	if !ok {
		return nil
	}
	o, err := parseOverride(v)
	if err != nil {
		return err
	}
	a.UID, a.GID = o.uid, o.gid
	typ := a.Mode & unix.S_IFMT
	if o.typ != 0 && typ == unix.S_IFREG && o.typ != unix.S_IFDIR {
		typ, a.Rdev = o.typ, uint64(o.rdev)
	}
	a.Mode = typ | o.perm
	return nil
}

// decodedXattr is the name of an attribute that is stored under encodedXattr.
func decodedXattr(stored string) string {
	if name, ok := strings.CutPrefix(stored, encodedXattr); ok && encodable(name) {
		return name
	}
	return stored
}
