package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime/userns"
)

// Info is what this host allows, as `cfs info --json` prints it.
type Info struct {
	Version string  `json:"version"`
	Root    string  `json:"root"` // directory of the store
	Kernel  string  `json:"kernel"`
	Arch    string  `json:"arch"`
	User    string  `json:"user"`   // "root" or "uid N"
	Driver  string  `json:"driver"` // what `run` uses by default; empty if nothing works
	Checks  []Check `json:"checks"`
	Drivers []Check `json:"drivers"`
}

// A Check is one thing a host has or lacks.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"` // what to do where it isn't OK
}

// HostInfo looks at the host. It changes nothing.
func HostInfo(ctx context.Context, root, version string, log *slog.Logger) (Info, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return Info{}, fmt.Errorf("uname: %w", err)
	}
	info := Info{
		Version: version, Root: root, Arch: runtime.GOARCH,
		Kernel: unix.ByteSliceToString(uts.Release[:]), User: "root",
	}
	if uid := os.Geteuid(); uid != 0 {
		info.User = fmt.Sprintf("uid %d", uid)
	}
	info.Checks = append(info.Checks, checkFuse(), checkFusermount())
	mapping, problems := userns.Detect()
	namespaces, ids := checkNamespaces(mapping, problems)
	if mapping.Privileged() || namespaces.OK {
		var err error
		if info.Drivers, err = probeHere(ctx, mapping, root, log); err != nil {
			namespaces.OK, namespaces.Detail = false, err.Error()
		}
	}
	info.Checks = append(info.Checks, namespaces, ids)
	for _, d := range info.Drivers {
		if d.OK {
			info.Driver = d.Name
			break
		}
	}
	return info, nil
}

func checkFuse() Check {
	c := Check{Name: "/dev/fuse"}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		unix.Close(fd)
		c.OK, c.Detail = true, "can be opened"
	case errors.Is(err, unix.EACCES):
		c.Detail, c.Hint = "can't be opened: "+err.Error(), "as root: chmod 666 /dev/fuse"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		c.Detail, c.Hint = "is not there: "+err.Error(), "as root: modprobe fuse; in a container, give it the device (--device /dev/fuse)"
	default:
		c.Detail = "can't be opened: " + err.Error()
	}
	return c
}

func checkFusermount() Check {
	c := Check{Name: "fusermount3"}
	path, err := exec.LookPath("fusermount3")
	if err != nil {
		c.Detail, c.Hint = "not installed: ordinary users can't use cfs mount", "install the package fuse3"
		return c
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err == nil && st.Mode&unix.S_ISUID == 0 && os.Geteuid() != 0 {
		c.Detail, c.Hint = path+" is not setuid root", "as root: chmod u+s "+path
		return c
	}
	c.OK, c.Detail = true, path
	return c
}

func checkNamespaces(mapping userns.Mapping, problems []userns.Problem) (namespaces, ids Check) {
	namespaces = Check{Name: "user namespaces", OK: true, Detail: "allowed"}
	ids = Check{Name: "sub-uids", OK: true, Detail: mapping.String()}
	if mapping.Privileged() {
		namespaces.Detail, ids.Detail = "not needed: privileged", "not needed: privileged"
	}
	for _, p := range problems {
		if p.Fatal {
			namespaces.OK, namespaces.Detail, namespaces.Hint = false, p.What, p.Hint
		} else {
			ids.OK, ids.Detail, ids.Hint = false, p.What, p.Hint
		}
	}
	return namespaces, ids
}
