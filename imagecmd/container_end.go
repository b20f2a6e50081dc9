package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// waitEnd waits until nothing of the container lives, or fails with ErrRunning: its end was
// missed, as somebody has started it again.
func (c *Container) waitEnd(ctx context.Context, most time.Duration) error {
	return c.waitWhile(ctx, most, c.Running)
}

// waitMonitor is waitEnd, but for who has the container for himself: whoever removes it
// waits for those who read it.
func (c *Container) waitMonitor(ctx context.Context) error {
	return c.waitWhile(ctx, endPatience, func() bool {
		f, err := tryLock(c.dir, unix.LOCK_SH) // as the monitor has it
		if err != nil {
			return false
		}
		f.Close()
		return c.Running()
	})
}

func (c *Container) waitWhile(ctx context.Context, most time.Duration, lives func() bool) error {
	deadline := time.Now().Add(most)
	for pause := time.Millisecond; lives(); pause = min(2*pause, 50*time.Millisecond) {
		if _, err := c.ask(controlRequest{Op: opRuns}); err == nil {
			return fmt.Errorf("container %s: %w again", c.ShortID(), ErrRunning)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("container %s has not ended after %v", c.ShortID(), most)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

// waitEnded is waitEnd of a container whose process has ended: that it was started again
// since changes nothing about that.
func (c *Container) waitEnded(ctx context.Context) error {
	if err := c.waitEnd(ctx, endPatience); !errors.Is(err, ErrRunning) {
		return err
	}
	return nil
}

// endPatience is how long a container's monitor may take to end.
const endPatience = 30 * time.Second
