package imagecmd

import (
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/userns"
)

// singleUser answers calls that need an id which doesn't exist, as there is only one, as
// if they had been done: package managers unpack files of many owners, and stop
// where they can't; services step down from root, and stay what they were.
func singleUser() specs.LinuxSyscall {
	var done uint
	return specs.LinuxSyscall{
		Names: []string{
			"chown", "chown32", "fchown", "fchown32", "lchown", "lchown32", "fchownat",
			"setgroups", "setgroups32", "setuid", "setuid32", "setgid", "setgid32",
			"setreuid", "setreuid32", "setregid", "setregid32", "setresuid", "setresuid32", "setresgid", "setresgid32",
			"setfsuid", "setfsuid32", "setfsgid", "setfsgid32",
		},
		Action: specs.ActErrno, ErrnoRet: &done,
	}
}

// apt looks whether it has become another user, and does nothing if it has not. Its
// configuration is read from the file of this variable besides (apt.conf(5)); the file lies in /dev,
// which is of the container alone, so that no image has it.
const (
	aptDir      = "etc/apt/apt.conf.d"
	aptVariable = "APT_CONFIG"
	aptFile     = "/dev/apt.conf"
	aptText     = "// There is one user in this container.\nAPT::Sandbox::User \"root\";\n"
)

// hasApt tells whether a root, of a container of one user, has apt.
func hasApt(root *os.Root) (bool, error) {
	m, err := userns.Current()
	if err != nil || !m.Single() {
		return false, err
	}
	info, err := root.Stat(aptDir)
	return err == nil && info.IsDir(), nil
}

// tellApt has apt stay root in a container of one user, unless it is told something itself,
// or /dev is not the container's own.
func (c *Container) tellApt(spec *specs.Spec) error {
	told := slices.ContainsFunc(spec.Process.Env, func(kv string) bool { return strings.HasPrefix(kv, aptVariable+"=") })
	own := !slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return m.Destination == "/dev" && m.Type != "tmpfs" || m.Destination == aptFile
	})
	if told || !own {
		return nil
	}
	path := c.path("apt.conf")
	if err := os.WriteFile(path, []byte(aptText), 0o644); err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: aptFile, Type: "bind", Source: path, Options: []string{"bind", "ro", "rprivate"}})
	spec.Process.Env = runtime.SetEnv(spec.Process.Env, aptVariable+"="+aptFile)
	return nil
}
