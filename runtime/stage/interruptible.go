package stage

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// Interruptible is the context of a stage that ends when its starter does, or when a
// person would have ended that: the cause says by which signal. The signals are taken
// from [Link.Signals].
func (l *Link) Interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(l.Context())
	go func() {
		for {
			select {
			case s := <-l.Signals():
				switch s {
				case unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT:
					cancel(fmt.Errorf("interrupted: %v", s))
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
