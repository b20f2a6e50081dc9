package unionfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// TransportVar is the environment variable that chooses the transport of
// mounts that name none: "loop" or "gofuse".
const TransportVar = "CFS_TRANSPORT"

// TransportByName returns the transport "loop" or "gofuse"; "" is the default.
// Another name is an error that wraps EINVAL.
func TransportByName(name string) (Transport, error) {
	switch name {
	case "gofuse":
		return GoFuse{}, nil
	case "loop", "":
		return Loop{}, nil
	}
	return nil, fmt.Errorf("transport %q: not one of loop, gofuse: %w", name, unix.EINVAL)
}

func transportFromEnv() (Transport, error) {
	t, err := TransportByName(os.Getenv(TransportVar))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", TransportVar, err)
	}
	return t, nil
}
