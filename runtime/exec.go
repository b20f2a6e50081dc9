package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A commandError says why the command can't be executed, in Docker's words.
type commandError struct {
	name   string
	reason string
	kind   error // ErrNotFound or ErrNotExecutable
}

func (e *commandError) Error() string { return fmt.Sprintf("exec %q: %s", e.name, e.reason) }
func (e *commandError) Unwrap() error { return e.kind }

// lookPath finds the command as execvp(3) does, in the container, as its user: a
// name with a slash is a path, others are looked up in env's PATH.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if err := executableFile(name); err != nil {
			return "", execError(name, err)
		}
		return name, nil
	}
	path := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v // the last one counts, as for getenv after duplicates are dropped
		}
	}
	var denied error
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		p := filepath.Join(dir, name)
		err := executableFile(p)
		if err == nil {
			if !strings.HasPrefix(p, "/") {
				p = "./" + p
			}
			return p, nil
		}
		if errors.Is(err, fs.ErrPermission) && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return "", execError(name, denied)
	}
	return "", &commandError{name, "executable file not found in $PATH", ErrNotFound}
}

// lookPath is that of the container's command; a container without one waits in vain.
func (i *initProc) lookPath() (string, error) {
	if len(i.config.Args) == 0 && i.config.Wait != nil {
		return "", nil
	}
	return lookPath(i.config.Args[0], i.config.Env)
}

func executableFile(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.EISDIR
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}

func execError(name string, err error) error {
	kind := ErrNotExecutable
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		kind = ErrNotFound
	}
	return &commandError{name, err.Error(), kind}
}

// exec turns init into the command, as PID 1 in a session of its own. It returns
// only with an error.
func (i *initProc) exec(path string) error {
	// Fails only for who already leads a session: the caller made one for us.
	if _, err := unix.Setsid(); err != nil && err != unix.EPERM {
		return fmt.Errorf("start session: %w", err)
	}
	if i.console >= 0 {
		if err := unix.IoctlSetInt(i.console, unix.TIOCSCTTY, 0); err != nil {
			return fmt.Errorf("take terminal: %w", err)
		}
		for fd := range 3 {
			if err := unix.Dup3(i.console, fd, 0); err != nil {
				return fmt.Errorf("take terminal: %w", err)
			}
		}
	}
	if err := i.passDescriptors(); err != nil {
		return err
	}
	if len(i.config.Args) == 0 {
		return invalid("process is missing")
	}
	resetSignals()
	return execError(i.config.Args[0], syscall.Exec(path, i.config.Args, i.config.Env))
}

// passDescriptors makes the preserved ones those from 3 on. Our own there move away.
func (i *initProc) passDescriptors() error {
	preserved := i.config.Preserved
	if len(preserved) == 0 {
		return nil
	}
	sock, err := unix.FcntlInt(uintptr(i.sock.fd), unix.F_DUPFD_CLOEXEC, 3+len(preserved))
	if err != nil {
		return fmt.Errorf("pass on descriptors: %w", err)
	}
	i.sock.fd = sock
	from := make([]int, len(preserved))
	for n, index := range preserved {
		if from[n], err = unix.FcntlInt(uintptr(i.fds[index]), unix.F_DUPFD_CLOEXEC, 3+len(preserved)); err != nil {
			return fmt.Errorf("pass on descriptor %d: %w", 3+n, err)
		}
	}
	// Where the original was is closed by the execution, or overwritten here.
	for n, fd := range from {
		if err := unix.Dup3(fd, 3+n, 0); err != nil {
			return fmt.Errorf("pass on descriptor %d: %w", 3+n, err)
		}
	}
	return nil
}

// resetSignals gives every signal its default action and unblocks all, on the
// calling thread: what the person's shell or a nohup had ignored would else stay so
// in the container. (execve resets handlers, but not ignored and blocked signals.)
func resetSignals() {
	for n := uintptr(1); n <= 64; n++ {
		resetSignal(n)
	}
	var none uint64
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
}

// resetLibrarySignals gives their default action to the signals that C libraries
// keep for themselves, and Go leaves alone. glibc's posix_spawn(3) has them
// ignored in what it starts (make's recipes, for one), and all below would inherit that.
func resetLibrarySignals() {
	for n := uintptr(32); n <= 34; n++ {
		resetSignal(n)
	}
}

func resetSignal(n uintptr) {
	// struct sigaction of rt_sigaction(2): handler, flags, restorer, mask; zero is
	// SIG_DFL. Larger than any architecture's.
	var act [64]byte
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
}
