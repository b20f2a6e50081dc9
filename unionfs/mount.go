package unionfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// DriverName is what the union is called where drivers are chosen.
const DriverName = "union"

const fuseDevice = "/dev/fuse"

// MountOptions say how a union is attached.
type MountOptions struct {
	// AllowOther lets users other than the mounting one in, and the kernel
	// check permissions. Without it the mounting user may do everything.
	AllowOther bool
	// Permissions has the kernel check permissions though nobody else is let in.
	Permissions bool
	ReadOnly    bool // implied by a union without an upper directory
	Suid, Dev   bool // honour setuid bits, device nodes
	NoExec      bool
	// Labels are SELinux's mount options (context="…" and its like), which the
	// kernel takes where it has SELinux and refuses with EINVAL elsewhere.
	Labels    []string
	Source    string // shown as the mount's source; "" is "cfs"
	Subtype   string // the part after "fuse."; "" is "cfs"
	MaxWrite  int    // bytes of one request; 0 is 1 MiB, which is also the most
	Transport Transport
	TransportOptions
}

// A connection is a new mount seen from its server.
type connection struct {
	fd       int  // what requests come from
	detached int  // the mount, while it is nowhere; else -1
	helper   bool // fusermount3 has mounted
}

// connect makes the mount, at target if it can't be made detached.
func connect(target string, o *MountOptions) (connection, error) {
	priv, err := privileges()
	if err != nil {
		return connection{}, err
	}
	if priv.sysAdmin {
		fd, mount, err := mountDetached(o)
		if isErrno(err, unix.ENOSYS, unix.EPERM, unix.EINVAL) { // before Linux 5.2, or filtered
			mount = -1
			fd, err = mountDirect(target, o)
		}
		if !isErrno(err, unix.EPERM) {
			return connection{fd: fd, detached: mount}, err
		}
	}
	fd, err := mountHelped(target, o)
	return connection{fd: fd, detached: -1, helper: true}, err
}

// path is where the mount's root can be found, at target or nowhere.
func (c connection) path(target string) string {
	if c.detached >= 0 {
		return fmt.Sprintf("/proc/self/fd/%d", c.detached)
	}
	return target
}

// abandon takes the mount away again.
func (c connection) abandon(target string) error {
	if c.detached >= 0 {
		return unix.Close(c.detached)
	}
	return detach(target, c.helper)
}

// openFuse opens /dev/fuse, or says what a person can do about it.
func openFuse() (int, error) {
	var fd int
	err := eintr(func() (err error) {
		fd, err = unix.Open(fuseDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
		return err
	})
	if err == nil {
		return fd, nil
	}
	u := &cow.Unusable{Driver: DriverName, Reason: fmt.Sprintf("%s can't be opened: %v", fuseDevice, err)}
	switch err {
	case unix.EACCES, unix.EPERM:
		if st, serr := os.Stat(fuseDevice); serr == nil {
			u.Hint = fmt.Sprintf("%s is mode %04o: ask the administrator for `chmod 666 %s`", fuseDevice, st.Mode().Perm(), fuseDevice)
		}
	case unix.ENOENT:
		u.Hint = "ask the administrator for `mknod -m 666 /dev/fuse c 10 229`; a container needs `--device /dev/fuse`"
	case unix.ENODEV, unix.ENXIO:
		u.Hint = "the kernel has no FUSE: ask the administrator for `modprobe fuse`"
	}
	return -1, u
}

// mountDirect calls mount(2): root, or root of a user namespace, may.
func mountDirect(target string, o *MountOptions) (int, error) {
	fd, err := openFuse()
	if err != nil {
		return -1, err
	}
	var flags uintptr
	for _, f := range []struct {
		on   bool
		flag uintptr
	}{{!o.Suid, unix.MS_NOSUID}, {!o.Dev, unix.MS_NODEV}, {o.NoExec, unix.MS_NOEXEC}, {o.ReadOnly, unix.MS_RDONLY}} {
		if f.on {
			flags |= f.flag
		}
	}
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d", fd, unix.S_IFDIR, unix.Geteuid(), unix.Getegid())
	if o.AllowOther {
		data += ",allow_other"
	}
	if o.AllowOther || o.Permissions {
		data += ",default_permissions"
	}
	for _, l := range o.Labels {
		data += "," + l
	}
	if err := unix.Mount(o.Source, target, "fuse."+o.Subtype, flags, data); err != nil {
		unix.Close(fd)
		if err == unix.EINVAL && len(o.Labels) > 0 {
			return -1, fmt.Errorf("mount %s: option %s: the kernel has no SELinux, or not this label: %w", target, strings.Join(o.Labels, ","), err)
		}
		return -1, fmt.Errorf("mount %s: %w", target, err)
	}
	return fd, nil
}

// mountHelped has fusermount3 mount, which sends back the descriptor.
func mountHelped(target string, o *MountOptions) (int, error) {
	helper, err := fusermount()
	if err != nil {
		return -1, err
	}
	if len(o.Labels) > 0 {
		return -1, fmt.Errorf("mount %s: option %s: only root, also of a user namespace, may set a label: %w", target, o.Labels[0], unix.EPERM)
	}
	// The helper opens it with the caller's rights; better said in our words.
	probe, err := openFuse()
	if err != nil {
		return -1, err
	}
	unix.Close(probe)
	opts := []string{"fsname=" + escapeOption(o.Source), "subtype=" + escapeOption(o.Subtype)}
	for _, f := range []struct {
		on   bool
		name string
	}{
		{o.AllowOther, "allow_other"}, {o.AllowOther || o.Permissions, "default_permissions"},
		{o.ReadOnly, "ro"}, {o.NoExec, "noexec"}, {!o.Suid, "nosuid"}, {!o.Dev, "nodev"},
	} {
		if f.on {
			opts = append(opts, f.name)
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "fuse"), os.NewFile(uintptr(pair[1]), "fusermount")
	defer ours.Close()
	cmd := exec.Command(helper, "-o", strings.Join(opts, ","), "--", target)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	cmd.ExtraFiles = []*os.File{theirs}
	out, err := cmd.CombinedOutput()
	theirs.Close()
	if err != nil {
		u := &cow.Unusable{Driver: DriverName, Reason: fmt.Sprintf("mount %s: %s", target, helperError(out, err))}
		switch {
		case o.AllowOther && strings.Contains(string(out), "user_allow_other"):
			u.Hint = "ask the administrator for `user_allow_other` in /etc/fuse.conf"
		case strings.Contains(string(out), "could not determine username"):
			u.Hint = fmt.Sprintf("it wants your user in /etc/passwd, which %d is not; `unshare -rm` gives a shell that mounts without it", os.Getuid())
		}
		return -1, u
	}
	return receiveFD(int(ours.Fd()))
}

func helperError(out []byte, err error) string {
	if s := strings.TrimSpace(string(out)); s != "" {
		return s
	}
	return "fusermount3: " + err.Error()
}

// fusermount finds the setuid helper.
func fusermount() (string, error) {
	for _, name := range []string{"fusermount3", "fusermount"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
		if p := filepath.Join("/bin", name); unix.Access(p, unix.X_OK) == nil {
			return p, nil
		}
	}
	return "", &cow.Unusable{
		Driver: DriverName, Reason: "mounting is not allowed here, and fusermount3 is not installed",
		Hint: "install the package fuse3, or run as root or inside a user namespace",
	}
}

func escapeOption(s string) string { return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(s) }

func receiveFD(sock int) (int, error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	var oobn int
	err := eintr(func() (err error) {
		_, oobn, _, _, err = unix.Recvmsg(sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("fusermount3: %w", err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err == nil && len(msgs) == 1 {
		fds, err := unix.ParseUnixRights(&msgs[0])
		if err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return -1, errors.New("fusermount3: sent no descriptor")
}

// detach unmounts. EBUSY is wrapped.
func detach(target string, helper bool) error {
	if !helper {
		if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("umount %s: %w", target, err)
		}
		return nil
	}
	bin, err := fusermount()
	if err != nil {
		return err
	}
	out, err := exec.Command(bin, "-u", "--", target).CombinedOutput()
	if err == nil {
		return nil
	}
	if strings.Contains(string(out), "busy") {
		return fmt.Errorf("umount %s: %w", target, unix.EBUSY)
	}
	return fmt.Errorf("umount %s: %s", target, helperError(out, err))
}
