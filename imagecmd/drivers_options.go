package imagecmd

import (
	"context"
	"fmt"
	"strings"

	units "github.com/docker/go-units"

	"github.com/cfs-project/cfs/cow"
)

// ParseStorageOption reads one --storage-opt, of which there is size=SIZE, and
// returns that in bytes.
func ParseStorageOption(option string) (int64, error) {
	value, ok := strings.CutPrefix(option, "size=")
	if !ok {
		return 0, fmt.Errorf("storage option %q is not supported (there is size=SIZE)", option)
	}
	n, err := units.RAMInBytes(value)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a size such as 10G", value)
	}
	return n, nil
}

// limit bounds what the container may change, if it was made with a bound.
func (c *Container) limit(ctx context.Context, d cow.Driver, s cow.Snapshot) error {
	if c.MaxSize == 0 {
		return nil
	}
	l, ok := d.(cow.Limiter)
	if !ok {
		return &cow.Unusable{
			Driver: d.Name(), Reason: "it can't bound the size of a container (--storage-opt size)",
			Hint: "use overlay2 on xfs or ext4 with project quotas, or btrfs with quotas (--driver)",
		}
	}
	return l.Limit(ctx, s, c.MaxSize)
}
