package stage

import (
	"fmt"
	"os"
	goruntime "runtime"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/internal/launch"
)

// StartIn is [Start] in a user namespace that exists, of the same person, which the stage is
// root of, and a new mount namespace. user is a file of /proc/PID/ns/user.
func StartIn(user *os.File, name string, payload []byte, io Stdio) (*Process, error) {
	ours, theirs, err := newPair()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer theirs.Close()
	return begun(name, ours, payload, io, func() (*os.Process, error) {
		return joined(user, name, [4]*os.File{io.In, io.Out, io.Err, theirs})
	})
}

func joined(user *os.File, name string, files [4]*os.File) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer self.Close()
	l := launch.Launch{
		Argv0: name, Env: os.Environ(), JoinFlags: []int{unix.CLONE_NEWUSER}, Flags: unix.CLONE_NEWNS, BecomeRoot: true,
	}
	var owned []int
	defer func() {
		for _, fd := range owned {
			unix.Close(fd)
		}
	}()
	for _, f := range []*os.File{files[0], files[1], files[2], files[3], self, user} {
		if f == nil {
			f = null
		}
		fd, err := launch.Above(int(f.Fd()))
		if err != nil {
			return nil, err
		}
		owned = append(owned, fd)
	}
	copy(l.Files[:], owned)
	l.Exe, l.Join = owned[4], owned[5:]
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	return l.Start()
}
