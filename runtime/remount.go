package runtime

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// remount changes a mount that the image's tree or an earlier entry has at a path, as
// mount(8) does: options that are not named stay. What belongs to a mount (ro, nosuid, …) is changed for this
// mount alone, and not for its file system, which may be one of the host's that was bound; flags and options of the
// file system are changed unless it is a remount of a bind mount.
func (r rootDir) remount(m mountConfig) error {
	target, err := r.open(string(m.Target), unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	var st unix.Statx_t
	if err := unix.Statx(target, "", unix.AT_EMPTY_PATH, unix.STATX_TYPE, &st); err != nil {
		return err
	}
	if st.Attributes_mask&st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return fmt.Errorf("remount: nothing is mounted there: %w", unix.EINVAL)
	}
	if o := m.Options; !o.Bind && len(o.Flags)+len(o.Data) > 0 {
		fs, err := unix.Fspick(target, "", unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC)
		if err != nil {
			return fmt.Errorf("remount: %w", err)
		}
		defer unix.Close(fs)
		if err := o.configure(fs); err != nil {
			return fmt.Errorf("remount: %w", err)
		}
		if err := unix.FsconfigReconfigure(fs); err != nil {
			return fsError(fs, "remount", err)
		}
	}
	return m.Options.setAttrs(target)
}
