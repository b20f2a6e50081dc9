package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/userns"
)

// initFD is the descriptor of init's socket.
const initFD = 3

// initProc is init's view of itself.
type initProc struct {
	config  initConfig
	sock    socket
	fds     []int // that came with the configuration
	null    int   // the host's /dev/null
	console int   // the container's side of its terminal, or -1
	waited  bool  // await was called
}

// initMain is the stage "cfs-init". It returns only if something went wrong, or
// as the status of the command that it was PID 1 for.
func initMain() int {
	// The command inherits the ids and limits of the thread that executes it.
	goruntime.LockOSThread()
	i := &initProc{sock: socket{initFD}, console: -1}
	status, err := i.run()
	if err == nil {
		return status
	}
	body, jerr := json.Marshal(packError(err))
	if jerr != nil || i.sock.send(msgError, body, nil) != nil {
		fmt.Fprintf(os.Stderr, "cfs: %s: %v\n", initStage, err)
	}
	return ExitStatus(err)
}

func (i *initProc) run() (int, error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("set undumpable: %w", err)
	}
	// What ps shows, instead of a part of /proc/self/exe.
	name := append([]byte(initStage), 0)
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
		return 0, fmt.Errorf("set name: %w", err)
	}
	if err := unix.CloseRange(initFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 0, fmt.Errorf("close inherited descriptors on exec: %w", err)
	}
	var err error
	if i.config, i.fds, err = receiveConfig(i.sock); err != nil {
		return 0, err
	}
	if err := i.setup(); err != nil {
		return 0, err
	}
	path, err := i.lookPath()
	if err != nil {
		return 0, err
	}
	if err := i.await(); err != nil {
		return 0, err
	}
	if err := i.sock.send(msgReady, nil, nil); err != nil {
		return 0, fmt.Errorf("report to supervisor: %w", err)
	}
	// As late as can be, so that the profile need not allow what init does.
	if i.config.NoNewPrivs {
		if err := i.confine(); err != nil {
			return 0, err
		}
	}
	if i.config.Init {
		return i.reap(path)
	}
	return 0, i.exec(path)
}

// setup makes the container around this process, in the order that privileges
// and paths ask for: first what the host's /proc is needed for, last the identity.
func (i *initProc) setup() error {
	c := &i.config
	if c.Keyring != "" {
		if _, err := unix.KeyctlJoinSessionKeyring(c.Keyring); err != nil {
			return fmt.Errorf("make session keyring: %w", err)
		}
	}
	if c.JoinedUser && userns.SetgroupsDenied() {
		if len(c.Groups) > 0 {
			return fmt.Errorf("process.user.additionalGids: the user namespace denies setgroups (no sub-ids)")
		}
		c.NoSetgroups = true
	}
	if c.Enter {
		return i.enter()
	}
	if c.UnshareCgroup {
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("make cgroup namespace: %w", err)
		}
	}
	if c.Loopback {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("set up loopback: %w", err)
		}
	}
	if c.Hostname != "" {
		if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
			return fmt.Errorf("set hostname %s: %w", c.Hostname, err)
		}
	}
	if c.Domainname != "" {
		if err := unix.Setdomainname([]byte(c.Domainname)); err != nil {
			return fmt.Errorf("set domainname %s: %w", c.Domainname, err)
		}
	}
	if err := setSysctl(c.Sysctl); err != nil {
		return err
	}
	if err := setOOMScore(c.OOMScoreAdj); err != nil {
		return err
	}
	if c.JoinMounts >= 0 {
		if err := joinMounts(i.fds[c.JoinMounts]); err != nil {
			return err
		}
	}
	if _, err := i.buildRoot(); err != nil {
		return err
	}
	if err := setRlimits(c.Rlimits); err != nil {
		return err
	}
	return i.become()
}
