package cow

import "context"

// A Limiter is a driver that can bound the size of snapshots. Found by type
// assertion.
type Limiter interface {
	// Limit bounds what the changes on s may take, in bytes, from now on; 0 is no
	// bound. Writes beyond it fail with EDQUOT or ENOSPC. It comes after Create and
	// before anything is written. The error is an [*Unusable] where the host lacks
	// what it takes, such as quotas on the filesystem.
	Limit(ctx context.Context, s Snapshot, size int64) error
}
