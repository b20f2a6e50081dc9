package imagecmd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// dropMounts takes out of the monitor's mount namespace what `cfs mount`, and whoever else
// shows a layered root, has mounted on the host: where the host's mounts are private, the
// copy would outlive their umount, and with it their servers. What the container is to
// see stays, and what is needed of the host. In a user namespace nothing can be taken out
// of what it was made with (mount_namespaces(7)): there `cfs umount` has the server end.
func (m *monitor) dropMounts() {
	below := filepath.Join(m.req.Root, "containers") + "/"
	mounts, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return !isUnion(i) && (i.FSType != "overlay" || !strings.Contains(i.VFSOptions, "upperdir="+below)), false
	})
	if err != nil || len(mounts) == 0 {
		return
	}
	shown := m.c.bindSources()
	needed := append(m.neededPaths(), shown...)
	for _, i := range slices.Backward(mounts) {
		if slices.ContainsFunc(needed, func(path string) bool { return within(path, i.Mountpoint) }) ||
			slices.ContainsFunc(shown, func(path string) bool { return within(i.Mountpoint, path) }) {
			continue
		}
		if err := unix.Unmount(i.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			m.log.Debug("a mount of the host's stays", "at", i.Mountpoint, "error", err)
		}
	}
}

// isUnion tells whether a mount is all of a union, and no part of one bound elsewhere.
func isUnion(i *mountinfo.Info) bool {
	return i.FSType == unionType && (i.Root == "/" || i.Root == unionRoot)
}

// unionRoot is the directory of the filesystem that has the union, where the root of it is
// something else.
const unionRoot = "/union"

// neededPaths are those of the host that this process works with.
func (m *monitor) neededPaths() []string {
	all := append(filepath.SplitList(os.Getenv("PATH")), m.c.dir, m.req.Root)
	if exe, err := os.Executable(); err == nil {
		all = append(all, exe)
	}
	if dir, err := os.Getwd(); err == nil {
		all = append(all, dir)
	}
	return all
}

// bindSources are the host's directories and files that the container sees, behind all
// links.
func (c *Container) bindSources() (all []string) {
	add := func(path string) {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		all = append(all, path)
	}
	for _, m := range c.Options.Mounts {
		switch m.Type {
		case mountBind:
			add(m.Source)
		case mountVolume:
			if v, err := OpenVolumes(c.root()).Find(m.Source); err == nil && v.Options["device"] != "" {
				add(v.Options["device"])
			}
		}
	}
	for _, v := range c.Views {
		if v.Host != "" {
			add(v.Host)
		}
	}
	return all
}

// within tells whether a path is a directory or below it. Both are absolute.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
