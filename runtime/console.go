package runtime

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// openConsole makes a terminal in the container's own devpts, sends its master
// to the supervisor, and binds the container's side to /dev/console.
func (i *initProc) openConsole(root rootDir) error {
	master, err := root.openPlain("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		return fmt.Errorf("/dev/pts/ptmx: %w", err)
	}
	defer unix.Close(master)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(master, &fs); err != nil {
		return err
	}
	if fs.Type != unix.DEVPTS_SUPER_MAGIC {
		return invalid("a terminal needs a mount of type devpts at /dev/pts")
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	if s := i.config.Size; s[0] > 0 && s[1] > 0 {
		if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: s[0], Col: s[1]}); err != nil {
			return fmt.Errorf("set size: %w", err)
		}
	}
	// By descriptor: a name in /dev/pts could by now be something else.
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return fmt.Errorf("open container's side: %w", errno)
	}
	i.console = int(peer)
	if err := unix.Fchown(i.console, int(i.config.UID), -1); err != nil && err != unix.EINVAL {
		return fmt.Errorf("give to uid %d: %w", i.config.UID, err)
	}
	if err := i.sock.send(msgConsole, nil, []int{master}); err != nil {
		return fmt.Errorf("send to supervisor: %w", err)
	}
	if !i.config.MakeDevices || i.config.Enter {
		return nil
	}
	dev, err := root.mkdirAll("/dev")
	if err != nil {
		return err
	}
	defer unix.Close(dev)
	target, err := devicePlace(dev, "console")
	if err != nil {
		return fmt.Errorf("/dev/console: %w", err)
	}
	defer unix.Close(target)
	tree, err := unix.OpenTree(i.console, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("/dev/console: %w", err)
	}
	defer unix.Close(tree)
	if err := attach(tree, target); err != nil {
		return fmt.Errorf("/dev/console: %w", err)
	}
	return nil
}
