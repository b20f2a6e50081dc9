package stage

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/userns"
)

// A Func is what a stage does. It gets the link to the process that started it
// and the payload it was started with, and returns its exit status (0 to 255).
type Func func(l *Link, payload []byte) int

// A Table names the stages of a program. Names are values of argv[0]; they
// must not be names that a person calls the program by.
type Table map[string]Func

// linkFD is the descriptor of the link in a stage.
const linkFD = 3

// statusBroken is the exit status of a stage that could not begin, Docker's
// number for a failure of the tool itself.
const statusBroken = 125

// Main runs the stage named by argv[0] and exits with its status. If argv[0]
// names none it returns at once.
func Main(t Table) {
	if len(os.Args) == 0 {
		return
	}
	if f, ok := t[os.Args[0]]; ok {
		os.Exit(run(os.Args[0], f))
	}
}

func run(name string, f Func) int {
	l, payload, err := begin()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cfs: %s: %v\n", name, err)
		return statusBroken
	}
	return f(l, payload)
}

func begin() (*Link, []byte, error) {
	if typ, err := unix.GetsockoptInt(linkFD, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || typ != unix.SOCK_STREAM {
		return nil, nil, fmt.Errorf("this name is for cfs itself: descriptor %d is no link", linkFD)
	}
	if err := unix.CloseRange(linkFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("close inherited descriptors on exec: %w", err)
	}
	// What this process holds (upper files, sub-uids, the link) is nobody's
	// business who shares its uid: no ptrace, no /proc/PID/mem, no core.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, nil, fmt.Errorf("set undumpable: %w", err)
	}
	// Fails only for who leads a session already.
	if _, err := unix.Setsid(); err != nil && err != unix.EPERM {
		return nil, nil, fmt.Errorf("start session: %w", err)
	}
	file := os.NewFile(linkFD, "link")
	kind, payload, err := readFrame(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read payload: %w", err)
	}
	if kind != framePayload {
		return nil, nil, fmt.Errorf("read payload: unexpected frame %q", kind)
	}
	if err := userns.Settle(); err != nil {
		return nil, nil, err
	}
	return newLink(file), payload, nil
}
