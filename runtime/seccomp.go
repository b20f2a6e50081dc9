package runtime

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/seccomp"
)

// A filterConfig is a seccomp filter on its way to init.
type filterConfig struct {
	Program  []byte // instructions of 8 bytes: code, jt, jf, k
	Flags    uint
	Notifies bool
}

func planSeccomp(s *specs.LinuxSeccomp) (*filterConfig, error) {
	if s == nil {
		return nil, nil
	}
	f, err := seccomp.Compile(s)
	if err != nil {
		return nil, invalid("linux.seccomp: %w", err)
	}
	c := &filterConfig{Flags: f.Flags, Notifies: f.Notifies}
	for _, i := range f.Program {
		c.Program = binary.NativeEndian.AppendUint16(c.Program, i.Code)
		c.Program = append(c.Program, i.Jt, i.Jf)
		c.Program = binary.NativeEndian.AppendUint32(c.Program, i.K)
	}
	return c, nil
}

// A compilation is a filter that is made in the background while init comes up.
type compilation struct {
	of     *specs.LinuxSeccomp
	done   chan struct{}
	filter *filterConfig
	err    error
}

func beginSeccomp(l *specs.Linux) *compilation {
	if l == nil || l.Seccomp == nil {
		return nil
	}
	c := &compilation{of: l.Seccomp, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.filter, c.err = planSeccomp(c.of)
	}()
	return c
}

// planSeccomp is done already if i, which may be nil, was started for that profile.
func (i *Init) planSeccomp(s *specs.LinuxSeccomp) (*filterConfig, error) {
	if i == nil || i.seccomp == nil || !reflect.DeepEqual(i.seccomp.of, s) {
		return planSeccomp(s)
	}
	<-i.seccomp.done
	return i.seccomp.filter, i.seccomp.err
}

func (c *filterConfig) filter() seccomp.Filter {
	f := seccomp.Filter{Flags: c.Flags, Notifies: c.Notifies}
	for b := c.Program; len(b) >= 8; b = b[8:] {
		f.Program = append(f.Program, unix.SockFilter{
			Code: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:]),
		})
	}
	return f
}

// confine puts the container's filter on the calling thread, which executes the command.
func (i *initProc) confine() error {
	if i.config.Seccomp == nil {
		return nil
	}
	fd, err := i.config.Seccomp.filter().Load()
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	// With write(2), which no profile has notified: nobody could answer yet.
	b := []byte{msgListener, 4, 0, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(fd))
	if n, err := unix.Write(i.sock.fd, b); err != nil || n != len(b) {
		return fmt.Errorf("report seccomp listener: %w", err)
	}
	var ack [1]byte
	if n, err := unix.Read(i.sock.fd, ack[:]); err != nil || n != 1 {
		return fmt.Errorf("seccomp listener was not taken: %w", err)
	}
	return nil
}

// listener fetches init's listener, has it handed on, and lets init go on.
func (i *Init) listener(body []byte, hand func(fd int) error) error {
	if len(body) != 4 {
		return fmt.Errorf("seccomp listener: a message of %d bytes", len(body))
	}
	pid, err := unix.PidfdOpen(i.Pid(), 0)
	if err != nil {
		return fmt.Errorf("seccomp listener: %w", err)
	}
	defer unix.Close(pid)
	fd, err := unix.PidfdGetfd(pid, int(binary.LittleEndian.Uint32(body)), 0)
	if err != nil {
		return fmt.Errorf("seccomp listener: %w", err)
	}
	defer unix.Close(fd)
	if err := hand(fd); err != nil {
		return fmt.Errorf("seccomp listener: %w", err)
	}
	if _, err := unix.Write(i.sock.fd, []byte{0}); err != nil {
		return fmt.Errorf("seccomp listener: %w", err)
	}
	return nil
}

// handListener sends a listener to the socket that the profile names (runtime-spec,
// config-linux.md, "The Container Process State").
func (i *Init) handListener(fd int, b Bundle, id string) error {
	s := b.Spec.Linux.Seccomp
	to, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(to)
	if err := unix.Connect(to, &unix.SockaddrUnix{Name: s.ListenerPath}); err != nil {
		return fmt.Errorf("connect to %s: %w", s.ListenerPath, err)
	}
	body, err := json.Marshal(specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: i.Pid(), Metadata: s.ListenerMetadata,
		State: specs.State{
			Version: specs.Version, ID: id, Status: specs.StateCreating, Pid: i.Pid(), Bundle: b.Dir, Annotations: b.Spec.Annotations,
		},
	})
	if err != nil {
		return err
	}
	return sendAll(to, body, unix.UnixRights(fd))
}
