package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/runtime/userns"
	"golang.org/x/sys/unix"
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
	info.Checks = append(info.Checks, checkNamespaces()...)
	for _, d := range Drivers(root, log) {
		check := Check{Name: d.Name(), OK: true, Detail: "usable"}
		if err := d.Probe(ctx); err != nil {
			check.OK, check.Detail = false, err.Error()
			var u *cow.Unusable
			if errors.As(err, &u) {
				check.Detail, check.Hint = u.Reason, u.Hint
			}
		} else if info.Driver == "" {
			info.Driver = d.Name()
		}
		info.Drivers = append(info.Drivers, check)
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

func checkNamespaces() []Check {
	mapping, problems := userns.Detect()
	ns := Check{Name: "user namespaces", OK: true, Detail: "allowed"}
	if mapping.Privileged() {
		ns.Detail = "not needed: privileged"
	}
	ids := Check{Name: "sub-uids", OK: true, Detail: mapping.String()}
	for _, p := range problems {
		if p.Fatal {
			ns = Check{Name: ns.Name, Detail: p.What, Hint: p.Hint}
		} else {
			ids = Check{Name: ids.Name, Detail: p.What, Hint: p.Hint}
		}
	}
	return []Check{ns, ids}
}
