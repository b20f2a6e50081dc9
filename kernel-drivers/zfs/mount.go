package zfs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
)

// A mounter mounts a dataset with MOUNT_ATTR_* flags, attached nowhere. All mounts of one dataset
// share a filesystem, which is read-only or not for all.
type mounter func(ctx context.Context, dataset string, readOnly bool, attr int) (*attach.Detached, error)

// mountKernel has the kernel mount it. One that was just unmounted, and was writable if this is not,
// or the other way round, may take a moment to close.
func mountKernel(ctx context.Context, dataset string, readOnly bool, attr int) (*attach.Detached, error) {
	set := [][2]string{{"source", dataset}}
	if readOnly {
		set = append(set, [2]string{"ro", ""})
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		m, err := attach.Mount("zfs", set, attr)
		switch {
		case err == nil:
			return m, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.Is(err, unix.EBUSY) || time.Since(start) > moment:
			return nil, fmt.Errorf("mount dataset %s: %w", dataset, err)
		}
	}
}
