package runtime

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// haveAppArmor tells whether the kernel confines programs by profiles of AppArmor.
func haveAppArmor() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && len(b) > 0 && b[0] == 'Y'
}

// openProfile opens what the calling thread is told by which profile it is to have once it
// executes a program. It is called while /proc is the host's: the container's may be anything.
func (i *initProc) openProfile() error {
	if i.config.AppArmor == "" {
		return nil
	}
	var err error
	for _, file := range []string{"apparmor/exec", "exec"} { // the second before Linux 5.8
		i.profile, err = unix.Open("/proc/thread-self/attr/"+file, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != unix.ENOENT {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("process.apparmorProfile: %w", err)
	}
	return nil
}

// setProfile says which profile that is.
func (i *initProc) setProfile() error {
	name := i.config.AppArmor
	if name == "" {
		return nil
	}
	_, err := unix.Write(i.profile, []byte("exec "+name))
	unix.Close(i.profile)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("process.apparmorProfile: the host has no profile %q loaded", name)
	}
	if err != nil {
		return fmt.Errorf("process.apparmorProfile %q: %w", name, err)
	}
	return nil
}
