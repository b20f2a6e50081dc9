package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/userns"
)

// WriteTemplate writes a configuration to begin with into a bundle that has none: a shell
// on a terminal, in all namespaces. With rootless it is one for the caller alone, who is
// root in it.
func WriteTemplate(bundle string, rootless bool) error {
	spec := Template(rootless)
	b, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return err
	}
	path := filepath.Join(bundle, configFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: remove it first", path)
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Template is the configuration that WriteTemplate writes.
func Template(rootless bool) *specs.Spec {
	o := runtime.SpecOptions{
		Args: []string{"sh"}, Hostname: "cfs", Terminal: true, NoNewPrivileges: true, ReadonlyRoot: true,
		Network: runtime.NetworkNone,
	}
	if rootless {
		one := func(id int) []userns.Range { return []userns.Range{{Host: uint32(id), Size: 1}} }
		o.Mapping = userns.Mapping{UID: one(os.Geteuid()), GID: one(os.Getegid())}
	}
	spec := runtime.DefaultSpec(o)
	if rootless {
		l := spec.Linux
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		l.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Geteuid()), Size: 1}}
		l.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Getegid()), Size: 1}}
		return spec
	}
	spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}}
	return spec
}
