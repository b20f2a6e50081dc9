package runtime_test

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/seccomp"
)

func TestSeccomp(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, init := range []bool{false, true} {
			for _, locked := range []bool{false, true} {
				j := newJob(t, runtime.SpecOptions{NoNewPrivileges: locked, Args: []string{"sh", "-c",
					`grep ^Seccomp: /proc/self/status; mkdir /tmp/a 2>&1 | sed 's/.*: //'; chown 7 /tmp && echo chowned; mkdir -p /tmp/b/c 2>/dev/null || echo still`}})
				j.Init = init
				zero, exdev := uint(0), uint(unix.EXDEV)
				j.Spec.Linux.Seccomp = &specs.LinuxSeccomp{
					DefaultAction: specs.ActAllow,
					Syscalls: []specs.LinuxSyscall{
						{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: &exdev},
						{Names: []string{"chown", "fchownat", "lchown", "fchown"}, Action: specs.ActErrno, ErrnoRet: &zero},
					},
				}
				if got, want := j.ok(t), "Seccomp:\t2\nInvalid cross-device link\nchowned\nstill\n"; got != want {
					t.Errorf("init=%v no_new_privs=%v: %q, want %q", init, locked, got, want)
				}
			}
		}
	})
}

// Docker's default profile lets a shell do what shells do, and not mount.
func TestSeccompDefault(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		j := newJob(t, runtime.SpecOptions{Args: []string{"sh", "-c", `grep ^Seccomp: /proc/self/status; unshare -U true 2>&1 | sed 's/.*: //'; echo x | (sleep 0; cat)`}})
		var err error
		if j.Spec.Linux.Seccomp, err = seccomp.Default(j.Spec); err != nil {
			t.Fatal(err)
		}
		if got, want := j.ok(t), "Seccomp:\t2\nOperation not permitted\nx\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestSeccompRefused(t *testing.T) {
	j := sh(t, "true")
	j.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_MAYBE"}
	if r := j.run(t); r.status != 125 || !strings.Contains(r.err, `unknown action "SCMP_ACT_MAYBE"`) {
		t.Errorf("%+v", r)
	}
}

// seccompNotif and seccompNotifResp are those of linux/seccomp.h.
type seccompNotif struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type seccompNotifResp struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

func TestSeccompNotify(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		path := filepath.Join(t.TempDir(), "listener")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		answered := make(chan error, 1)
		go func() { answered <- answerOne(l) }()
		j := newJob(t, runtime.SpecOptions{Args: []string{"sh", "-c", `mkdir /tmp/a 2>&1 | sed 's/.*: //'`}})
		j.Init = true
		j.Spec.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, ListenerPath: path, ListenerMetadata: "for you",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify}},
		}
		if got, want := j.ok(t), "No medium found\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

// answerOne takes one listener and has one call fail with ENOMEDIUM.
func answerOne(l *net.UnixListener) error {
	l.SetDeadline(time.Now().Add(20 * time.Second))
	conn, err := l.AcceptUnix()
	if err != nil {
		return err
	}
	defer conn.Close()
	b, oob := make([]byte, 1<<16), make([]byte, 64)
	n, oobn, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return err
	}
	var st specs.ContainerProcessState
	if err := json.Unmarshal(b[:n], &st); err != nil {
		return err
	}
	if st.Metadata != "for you" || len(st.Fds) != 1 || st.Fds[0] != specs.SeccompFdName || st.Pid <= 0 {
		return fmt.Errorf("told %+v", st)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	const recv, send = 0xc0502100, 0xc0182101 // SECCOMP_IOCTL_NOTIF_RECV, _SEND
	var req seccompNotif
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), recv, uintptr(unsafe.Pointer(&req))); e != 0 {
		return fmt.Errorf("receive: %w", e)
	}
	resp := seccompNotifResp{id: req.id, err: -int32(unix.ENOMEDIUM)}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), send, uintptr(unsafe.Pointer(&resp))); e != 0 {
		return fmt.Errorf("answer: %w", e)
	}
	return nil
}
