package runtime

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Whatever isn't done is refused by name, before anything is started.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		change func(*specs.Spec)
		is     error
		field  string
	}{
		{func(s *specs.Spec) { s.Version = "2.0.0" }, ErrInvalid, "ociVersion"},
		{func(s *specs.Spec) { s.Version = "1.0" }, ErrInvalid, "ociVersion"},
		{func(s *specs.Spec) { s.Version = "1.02.0" }, ErrInvalid, "ociVersion"},
		{func(s *specs.Spec) { s.Version = "1.x.0" }, ErrInvalid, "ociVersion"},
		{func(s *specs.Spec) { s.Version = "" }, ErrInvalid, "ociVersion"},
		{func(s *specs.Spec) { s.Hooks = &specs.Hooks{} }, ErrUnsupported, "hooks"},
		{func(s *specs.Spec) { s.Process = nil }, ErrInvalid, "process"},
		{func(s *specs.Spec) { s.Process.Args = nil }, ErrInvalid, "process.args"},
		{func(s *specs.Spec) { s.Process.Cwd = "x" }, ErrInvalid, "process.cwd"},
		{func(s *specs.Spec) { s.Process.Env = []string{"A=\x00"} }, ErrInvalid, "NUL"},
		{func(s *specs.Spec) { s.Process.ApparmorProfile = "x" }, ErrUnsupported, "process.apparmorProfile"},
		{func(s *specs.Spec) { s.Process.SelinuxLabel = "x" }, ErrUnsupported, "process.selinuxLabel"},
		{func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{} }, ErrInvalid, "process.scheduler"},
		{func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{} }, ErrInvalid, "process.ioPriority"},
		{func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "1-"} }, ErrInvalid, "process.execCPUAffinity.initial"},
		{func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} }, ErrInvalid, "RLIMIT_X"},
		{func(s *specs.Spec) { s.Linux = nil }, ErrInvalid, "linux"},
		{func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{} }, ErrUnsupported, "linux.resources"},
		{func(s *specs.Spec) { s.Linux.CgroupsPath = "/x" }, ErrUnsupported, "linux.cgroupsPath"},
		{func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{} }, ErrInvalid, "linux.seccomp"},
		{func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}} }, ErrUnsupported, "linux.netDevices"},
		{func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }, ErrUnsupported, "linux.intelRdt"},
		{func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{} }, ErrInvalid, "linux.personality"},
		{func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"x": {}} }, ErrInvalid, "linux.timeOffsets"},
		{func(s *specs.Spec) { s.Linux.RootfsPropagation = "x" }, ErrInvalid, "linux.rootfsPropagation"},
		{func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[1:] }, ErrUnsupported, "without a new pid"},
		{func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/proc/self/ns/pid" }, ErrUnsupported, "without a new pid"},
		{func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, s.Linux.Namespaces[0]) }, ErrInvalid, "pid twice"},
		{func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "star"})
		}, ErrUnsupported, "type star"},
		{func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/proc/self/ns/mnt" }, ErrUnsupported, "without a new mount"},
		{func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}}
		}, ErrInvalid, "hooks.poststop[0].path"},
		{func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}} }, ErrInvalid, "linux.uidMappings"},
		{func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} }, ErrInvalid, "linux.devices"},
		{func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.../x": "1"} }, ErrInvalid, "linux.sysctl"},
		{func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/", Type: "c"}} }, ErrInvalid, "linux.devices"},
		{func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: -1}} }, ErrInvalid, "-1:0"},
		{func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "b", Minor: 1 << 20}}
		}, ErrInvalid, "0:1048576"},
		{func(s *specs.Spec) { s.Mounts[0].Options = []string{"move"} }, ErrUnsupported, "mounts.options move"},
		{func(s *specs.Spec) { s.Mounts[0].Options = []string{"remount", "idmap"} }, ErrUnsupported, "mounts.options remount"},
		{func(s *specs.Spec) { s.Mounts[0].UIDMappings = []specs.LinuxIDMapping{{}} }, ErrUnsupported, "mounts.uidMappings"},
		{func(s *specs.Spec) { s.Mounts[0].Destination = "/.." }, ErrInvalid, "root"},
	} {
		s := DefaultSpec(SpecOptions{Args: []string{"true"}})
		c.change(s)
		status, err := Run(t.Context(), Bundle{Root: t.TempDir(), Spec: s}, Options{})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.field) || status != StatusFailed {
			t.Errorf("want %v for %s, got status %d, %v", c.is, c.field, status, err)
		}
	}
}

// Older and newer minor versions, and what SemVer allows besides.
func TestVersions(t *testing.T) {
	for _, v := range []string{"1.0.0", "1.0.0-rc5", "1.0.2-dev", "1.2.1+dev", "1.3.0", "1.10.0"} {
		s := DefaultSpec(SpecOptions{Args: []string{"true"}})
		s.Version = v
		if err := validate(s); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func TestCheckNetDevices(t *testing.T) {
	own := namespaces{flags: unix.CLONE_NEWNET}
	long := "fifteen-letters"
	for text, devices := range map[string]map[string]specs.LinuxNetDevice{
		"":                           {"eth0": {}, "eth1": {Name: long}, "eth2": {Name: "lan%d"}, "eth3": {Name: "lan%d"}},
		`"a/b" is no name`:           {"a/b": {}},
		`"eth%d" is no name`:         {"eth%d": {}},
		`eth0: "a b" is no name`:     {"eth0": {Name: "a b"}},
		`"a%s" is no name`:           {"eth0": {Name: "a%s"}},
		`"a%d%d" is no name`:         {"eth0": {Name: "a%d%d"}},
		`".." is no name`:            {"eth0": {Name: ".."}},
		`"` + long + `x" is no name`: {"eth0": {Name: long + "x"}},
		"a and b are both to be c":   {"a": {Name: "c"}, "b": {Name: "c"}},
		"eth0 and eth1 are both to":  {"eth0": {}, "eth1": {Name: "eth0"}},
	} {
		err := checkNetDevices(devices, own)
		if text == "" && err != nil || text != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), text)) {
			t.Errorf("%v: %v, want %q", devices, err, text)
		}
	}
	if err := checkNetDevices(map[string]specs.LinuxNetDevice{"eth0": {}}, namespaces{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("into the host's namespace: %v", err)
	}
}

func TestMountOptions(t *testing.T) {
	for _, c := range []struct {
		options []string
		want    mountOptions
	}{
		{nil, mountOptions{}},
		{[]string{"ro", "nosuid", "nodev", "noexec"}, mountOptions{
			Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}},
		{[]string{"ro", "rw"}, mountOptions{Clear: unix.MOUNT_ATTR_RDONLY}},
		{[]string{"rbind", "rro", "rslave"}, mountOptions{
			Bind: true, Recursive: true, RecSet: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_SLAVE, RecPropagation: true}},
		{[]string{"noatime", "strictatime"}, mountOptions{Set: unix.MOUNT_ATTR_STRICTATIME, Clear: unix.MOUNT_ATTR__ATIME}},
		{[]string{"relatime"}, mountOptions{Clear: unix.MOUNT_ATTR__ATIME}},
		{[]string{"size=1m", "mode=755", "sync", "defaults"}, mountOptions{Flags: []string{"sync"}, Data: []string{"size=1m", "mode=755"}}},
	} {
		got, err := parseMountOptions(c.options)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v: %s", c.options, diff)
		}
	}
}

func TestHandled(t *testing.T) {
	const status = "Name:\tx\nSigPnd:\tffffffffffffffff\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000000002\nSigCgt:\t8000000000004000\n"
	for n, want := range map[unix.Signal]bool{1: true, 2: true, 3: false, 15: true, 64: true, 63: false} {
		if got := handled(status, n); got != want {
			t.Errorf("signal %d: %v", n, got)
		}
	}
}

func TestCaps(t *testing.T) {
	s, unknown := parseCaps(&specs.LinuxCapabilities{
		Bounding: []string{"CAP_CHOWN", "CAP_NONE"}, Permitted: []string{"CAP_CHOWN", "CAP_KILL"}, Ambient: []string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"}})
	want := capSets{Bounding: 1, Permitted: 1 | 1<<5, Ambient: 1 | 1<<40}
	if diff := cmp.Diff(want, s); diff != "" || len(unknown) != 1 || unknown[0] != "process.capabilities.bounding CAP_NONE" {
		t.Errorf("%s %v", diff, unknown)
	}
	granted, refused := s.grantable(1)
	if diff := cmp.Diff(capSets{Bounding: 1, Permitted: 1}, granted); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"process.capabilities.permitted CAP_KILL", "process.capabilities.ambient CAP_CHOWN CAP_CHECKPOINT_RESTORE"}, refused.names()); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment(t *testing.T) {
	s := DefaultSpec(SpecOptions{Args: []string{"x"}, Env: []string{"A=1", "PATH=/p", "A=2"}, Hostname: "h", Terminal: true, User: User{Home: "/home"}})
	want := []string{"PATH=/p", "HOSTNAME=h", "TERM=xterm", "A=2", "HOME=/home"}
	if diff := cmp.Diff(want, s.Process.Env); diff != "" {
		t.Error(diff)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte{'C', 2, 0, 0, 0, '{', '}'})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 64<<10 {
			return // more than the socket's buffer would block
		}
		if len(in) > 4 && in[3]|in[4] != 0 {
			return // a claim to be huge costs memory, which the bound covers
		}
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[1])
		unix.Write(pair[0], in)
		unix.Close(pair[0])
		c, _, err := receiveConfig(socket{pair[1]})
		if err == nil && c.Root >= 0 {
			t.Fatalf("accepted without a root: %+v", c)
		}
	})
}
