package runtime

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/internal/wire"
	"github.com/cfs-project/cfs/runtime/userns"
)

// An initConfig is all that init is told. It is flat, as decoding the whole
// specification's type costs more than starting the process.
type initConfig struct {
	Root           int  // index among the descriptors: the root's tree
	Enter          bool // instead: Root is a pidfd of the container to join
	Mounts         []mountConfig
	MakeDevices    bool // and links below /dev, unless the host's /dev is bound
	Devices        []deviceConfig
	MaskedPaths    []string
	ReadonlyPaths  []string
	ReadonlyRoot   bool
	Propagation    uint64
	RecPropagation bool

	UnshareCgroup        bool
	Hostname, Domainname string
	Sysctl               map[string]string
	Loopback             bool

	Args, Env   []string
	Cwd         string
	MakeCwd     bool
	UID, GID    uint32
	Groups      []uint32
	NoSetgroups bool
	Umask       *uint32
	Caps        capSets
	NoNewPrivs  bool
	Rlimits     []rlimitConfig
	OOMScoreAdj *int
	Terminal    bool
	Size        [2]uint16 // rows, columns
	Init        bool      // stay PID 1, the command is a child
	Seccomp     *filterConfig
	JoinMounts  int    // index among the descriptors: the mount namespace to join; -1: none
	RootPath    string // where the root is attached if the mounts are the caller's
	Keyring     string // of the session; "" keeps the caller's
	Outlives    bool   // nobody's death ends it
	JoinedUser  bool   // the user namespace existed before
	Preserved   []int  // indexes among the descriptors: the command's from 3 on
	Priorities  prioritiesConfig
	Wait        *waitConfig // the command is executed later; nil: at once
}

// A setup is a configuration being prepared for init, with the descriptors that
// go along.
type setup struct {
	config initConfig
	fds    []int // owned until close
	// inTurn has init ask for the trees of bind mounts one by one, see tree.
	inTurn bool
	// warnings are what the caller is to be told of and no failure.
	warnings []string
}

func (s *setup) sendFD(fd int) int {
	s.fds = append(s.fds, fd)
	return len(s.fds) - 1
}

func (s *setup) close() {
	for _, fd := range s.fds {
		unix.Close(fd)
	}
	s.fds = nil
}

// prepare checks a bundle and opens what it names on the host.
func prepare(b Bundle, n namespaces, o Options) (_ *setup, err error) {
	s := new(setup)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	spec, l := b.Spec, b.Spec.Linux
	c := &s.config
	s.inTurn = o.inTurn
	if err := s.openRoot(b); err != nil {
		return nil, err
	}
	if err := s.planMounts(b.Dir, spec); err != nil {
		return nil, err
	}
	for _, text := range s.warnings {
		o.warn(text)
	}
	c.MakeDevices = true
	for _, m := range c.Mounts {
		if m.Target == "/dev" && m.Tree >= 0 {
			c.MakeDevices = false
		}
	}
	if c.Devices, err = planDevices(l.Devices); err != nil {
		return nil, err
	}
	if !c.MakeDevices {
		c.Devices = slices.DeleteFunc(c.Devices, func(d deviceConfig) bool { return strings.HasPrefix(d.Path, "/dev/") })
	}
	c.MaskedPaths, c.ReadonlyPaths = l.MaskedPaths, l.ReadonlyPaths

	c.Hostname, c.Domainname = spec.Hostname, spec.Domainname
	if (c.Hostname != "" || c.Domainname != "") && !n.private(unix.CLONE_NEWUTS) {
		return nil, invalid("hostname needs a uts namespace")
	}
	if err := checkSysctl(l.Sysctl, n); err != nil {
		return nil, err
	}
	c.Sysctl = l.Sysctl
	if err := checkNetDevices(l.NetDevices, n); err != nil {
		return nil, err
	}
	c.Loopback = n.flags&unix.CLONE_NEWNET != 0
	c.UnshareCgroup = n.cgroup
	c.JoinMounts = -1
	if n.mounts != "" {
		fd, err := unix.Open(n.mounts, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("join namespace %s: %w", n.mounts, err)
		}
		c.JoinMounts = s.sendFD(fd)
	}
	if n.sharesMounts() {
		c.RootPath = b.Root
		o.warn("without a mount namespace a process with privileges can leave the container's root")
	}

	if err := s.planProcess(spec, n, o); err != nil {
		return nil, err
	}
	return s, nil
}

// planProcess takes in what a configuration says of its process, and its seccomp profile.
func (s *setup) planProcess(spec *specs.Spec, n namespaces, o Options) (err error) {
	c, l, p := &s.config, spec.Linux, spec.Process
	c.Args, c.Env, c.Cwd, c.MakeCwd = p.Args, p.Env, path.Clean(p.Cwd), o.MakeCwd
	c.UID, c.GID, c.Groups, c.Umask = p.User.UID, p.User.GID, p.User.AdditionalGids, p.User.Umask
	if err := s.checkIDs(n); err != nil {
		return err
	}
	var unknown []string
	c.Caps, unknown = parseCaps(p.Capabilities)
	for _, n := range unknown {
		o.warn(n + " is no capability this runtime knows")
	}
	c.NoNewPrivs = p.NoNewPrivileges
	if c.Seccomp, err = o.Prestarted.planSeccomp(l.Seccomp); err != nil {
		return err
	}
	if c.Rlimits, err = planRlimits(p.Rlimits); err != nil {
		return err
	}
	c.OOMScoreAdj = p.OOMScoreAdj
	c.Terminal, c.Init = p.Terminal, o.Init
	c.JoinedUser = n.joins(unix.CLONE_NEWUSER) || s.config.Enter && n.flags&unix.CLONE_NEWUSER != 0
	c.Outlives = o.Detach
	if o.NewKeyring {
		c.Keyring = "_ses." + o.ID
	}
	if c.Priorities, err = planPriorities(spec); err != nil {
		return err
	}
	if err := s.preserve(o.PreserveFDs); err != nil {
		return err
	}
	if p.ConsoleSize != nil {
		c.Size = [2]uint16{uint16(p.ConsoleSize.Height), uint16(p.ConsoleSize.Width)}
	}
	return nil
}

func (s *setup) openRoot(b Bundle) error {
	spec := b.Spec
	fd, isDir, err := cloneTree(b.Root, true)
	if err != nil {
		return fmt.Errorf("open root %s: %w", b.Root, err)
	}
	s.config.Root = s.sendFD(fd)
	if !isDir {
		return fmt.Errorf("open root %s: %w", b.Root, unix.ENOTDIR)
	}
	// Private, so that nothing the host mounts below it later shows up inside.
	private := mountOptions{Propagation: unix.MS_PRIVATE, RecPropagation: true}
	if err := private.setAttrs(fd); err != nil {
		return fmt.Errorf("open root %s: make private: %w", b.Root, err)
	}
	s.config.ReadonlyRoot = spec.Root != nil && spec.Root.Readonly
	if p := spec.Linux.RootfsPropagation; p != "" {
		o, err := parseMountOptions([]string{p})
		if err != nil || o.Propagation == 0 {
			return invalid("linux.rootfsPropagation %q", p)
		}
		s.config.Propagation, s.config.RecPropagation = o.Propagation, o.RecPropagation
	}
	return nil
}

// checkIDs refuses ids that don't exist where the process will run, which the
// kernel would only call an invalid argument.
func (s *setup) checkIDs(n namespaces) error {
	if n.joins(unix.CLONE_NEWUSER) {
		return nil // known only inside
	}
	c := &s.config
	m, err := userns.Current()
	if err != nil {
		return err
	}
	if n.flags&unix.CLONE_NEWUSER != 0 {
		m = userns.Mapping{}
		for _, r := range n.uids {
			m.UID = append(m.UID, userns.Range{Container: uint32(r.ContainerID), Size: uint32(r.Size)})
		}
		for _, r := range n.gids {
			m.GID = append(m.GID, userns.Range{Container: uint32(r.ContainerID), Size: uint32(r.Size)})
		}
	} else {
		c.NoSetgroups = userns.SetgroupsDenied()
	}
	const hint = "has no such id in the container: the user namespace doesn't map it (sub-ids, subuid(5))"
	if !m.HasUID(c.UID) {
		return fmt.Errorf("user %d %s", c.UID, hint)
	}
	for _, g := range append([]uint32{c.GID}, c.Groups...) {
		if !m.HasGID(g) {
			return fmt.Errorf("group %d %s", g, hint)
		}
	}
	if c.NoSetgroups && len(c.Groups) > 0 {
		return fmt.Errorf("process.user.additionalGids: the user namespace denies setgroups (no sub-ids)")
	}
	return nil
}

// preserve sends along the first descriptors after standard error.
func (s *setup) preserve(n int) error {
	for fd := 3; fd < 3+n; fd++ {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3+n)
		if err != nil {
			return fmt.Errorf("pass on descriptor %d: %w", fd, err)
		}
		s.config.Preserved = append(s.config.Preserved, s.sendFD(own))
	}
	return nil
}

func (s *setup) send(sock socket) error {
	if len(s.fds) > maxFDs {
		return fmt.Errorf("%d bind mounts are more than %d", len(s.fds)-1, maxFDs-1)
	}
	return sock.send(msgConfig, wire.Marshal(&s.config), s.fds)
}

var errNoConfig = errors.New("this name is for cfs itself")

func receiveConfig(sock socket) (c initConfig, fds []int, err error) {
	kind, body, fds, err := sock.receive()
	if err != nil {
		return c, fds, fmt.Errorf("%w: read configuration: %w", errNoConfig, err)
	}
	if kind != msgConfig {
		return c, fds, fmt.Errorf("read configuration: unexpected message %q", kind)
	}
	if err := wire.Unmarshal(body, &c); err != nil {
		return c, fds, fmt.Errorf("decode configuration: %w", err)
	}
	for _, m := range c.Mounts {
		if m.Tree >= len(fds) {
			return c, fds, fmt.Errorf("read configuration: %d descriptors are too few", len(fds))
		}
	}
	if c.Root >= len(fds) {
		return c, fds, fmt.Errorf("read configuration: no root")
	}
	return c, fds, nil
}
