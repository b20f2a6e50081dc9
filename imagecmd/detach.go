package imagecmd

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
)

// unionType is the filesystem type of the union's mounts in mountinfo.
const unionType = "fuse.cfs"

// detach unmounts target, with the help of fusermount3 where this process may
// not by itself.
func detach(target string) error {
	err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EBUSY) {
		return hint.With(fmt.Errorf("%s is in use", target), "end the programs that have files or their working directory there")
	}
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	for _, program := range []string{"fusermount3", "fusermount"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "-u", "--", target).CombinedOutput()
		if err == nil {
			return nil
		}
		text := strings.TrimSpace(string(out))
		if strings.Contains(text, "busy") {
			return hint.With(fmt.Errorf("%s is in use", target), "end the programs that have files or their working directory there")
		}
		return fmt.Errorf("%s: %s", program, text)
	}
	return hint.With(errors.New("fusermount3 is not installed"), "install the package fuse3")
}
