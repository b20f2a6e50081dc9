package buildcontext

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/cfs-project/cfs/cow"
)

// MakeDir is the layer over lower, which may be nil, that has the directory dir, an
// absolute path: what is missing of it is made, 0755, for user, a name or number of
// the lower tree's with a group or without; "" is 0:0, and so is a name that it doesn't have, as for
// BuildKit. There is no entry if nothing is missing.
func MakeDir(ctx context.Context, lower cow.Base, dir, user string, now time.Time) iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) {
		err := makeDir(ctx, lower, dir, user, now, func(e cow.Entry) bool { return yield(e, nil) })
		if err != nil && !errors.Is(err, errStop) {
			yield(cow.Entry{}, err)
		}
	}
}

func makeDir(ctx context.Context, lower cow.Base, dir, user string, now time.Time, yield func(cow.Entry) bool) error {
	d, err := newDest(lower, now)
	if err != nil {
		return err
	}
	if user != "" {
		o, err := resolveChown(user, lower, false)
		if errors.Is(err, errNoUser) || errors.Is(err, errNoGroup) {
			o, err = owner{}, nil
		}
		if err != nil {
			return err
		}
		d.owner = &o
	}
	at, err := d.resolve(dir)
	if err != nil {
		return err
	}
	if _, err := d.mkdirAll(at); err != nil {
		return err
	}
	e := emitting{ctx: ctx, d: d, links: linkNumbers{}, yield: yield}
	d.root.mark()
	return e.kids(d.root, "/")
}
