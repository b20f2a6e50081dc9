package unionfs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A MountLine is what the option string of a mount program asks for.
type MountLine struct {
	Options
	MountOptions
	// Debugging asks for every request to be written to standard error, by a
	// server that stays in the foreground.
	Debugging bool
	// Warnings name the options that are not known or have no effect here, in
	// the order they were given. They are no reason to fail: other programs
	// tolerate them too.
	Warnings []string
}

// ParseOptions reads the argument of -o as podman, buildah and mount(8) give it
// to fuse-overlayfs: options separated by commas, `\,` and `\:` and `\\` for
// the characters themselves, empty options skipped.
//
// Known are lowerdir, upperdir, workdir, uidmapping, gidmapping, squash_to_uid,
// squash_to_gid, squash_to_root, xattr_permissions, userxattr, redirect_dir,
// metacopy, partial, copyup, index, volatile, passthrough, fsync, static_nlink, acl,
// noacl, context and its like, fsname, subtype, max_write, allow_other,
// default_permissions, debug, ro, rw, and the mount flags suid, dev, exec with their opposites. Of fuse-overlayfs's
// and overlayfs's other options those are taken that ask for what is done anyhow
// (xino=on, fast_ino, nfs_export=off, threaded=1); their opposites, and timeout, are
// warned of. An option given twice counts the last time. What is wrong in
// itself (a mapping that isn't one), or asks for what there isn't and would
// show (noxattrs=1, plugins), is an error that wraps EINVAL.
//
// As fuse-overlayfs has it, the kernel checks permissions, and root, of the
// host or of a user namespace, lets other users in and honours setuid bits.
func ParseOptions(s string) (MountLine, error) {
	l := MountLine{MountOptions: MountOptions{Permissions: true}}
	if unix.Geteuid() == 0 {
		l.AllowOther, l.Suid = true, true
	}
	var mapping string // the option before, if it was a mapping
	for _, opt := range splitOptions(s) {
		if opt == "" || strings.HasPrefix(opt, "x-") { // mount(8): comments for user space
			continue
		}
		if mapping != "" && opt[0] >= '0' && opt[0] <= '9' {
			opt = mapping + ":" + opt // fuse-overlayfs(1) has commas between the triplets
		}
		key, value, has := strings.Cut(opt, "=")
		if mapping = ""; key == "uidmapping" || key == "gidmapping" {
			mapping = opt
		}
		err := l.set(opt, key, value, has)
		if err != nil {
			return l, fmt.Errorf("option %s: %w", opt, err)
		}
	}
	if (l.Upper == "") != (l.Work == "") {
		if l.Upper != "" {
			return l, fmt.Errorf("option upperdir=%s: no workdir given: %w", l.Upper, unix.EINVAL)
		}
		l.Warnings = append(l.Warnings, "workdir without upperdir")
		l.Work = ""
	}
	if l.ReadOnly && l.Upper != "" { // seen, as the kernel's overlay shows it, and left as it is
		l.LowerDirs = slices.Insert(l.LowerDirs, 0, l.Upper)
		l.Upper, l.Work = "", ""
	}
	if l.LinkIndex && l.Upper == "" {
		l.Warnings = append(l.Warnings, "no effect: index=on without upperdir")
		l.LinkIndex = false
	}
	if len(l.LowerDirs) == 0 {
		return l, fmt.Errorf("option lowerdir is missing: %w", unix.EINVAL)
	}
	return l, nil
}

func (l *MountLine) set(opt, key, value string, has bool) (err error) {
	switch {
	case has && l.setValue(key, value, &err):
	case !has && l.setFlag(key):
	default:
		l.Warnings = append(l.Warnings, "unknown option "+unescape(opt))
	}
	return err
}

// setValue sets an option that has a value; false if there is none of that name.
func (l *MountLine) setValue(key, value string, err *error) bool {
	switch key {
	case "lowerdir":
		l.setLower(value)
	case "upperdir":
		l.Upper = unescape(value)
	case "workdir":
		l.Work = unescape(value)
	case "uidmapping":
		l.UIDMap, *err = parseMapping(value)
	case "gidmapping":
		l.GIDMap, *err = parseMapping(value)
	case "squash_to_uid":
		l.SquashUID, *err = parseID(value)
	case "squash_to_gid":
		l.SquashGID, *err = parseID(value)
	case "xattr_permissions":
		*err = l.setXattrPermissions(value)
	case "redirect_dir":
		switch value {
		case "on":
			l.NoRedirect = false
		case "off", "follow":
			l.NoRedirect = true // what is there is still followed
		case "nofollow":
			l.NoRedirect = true
			l.Warnings = append(l.Warnings, "redirect_dir=nofollow: redirects that exist are followed")
		default:
			*err = unix.EINVAL
		}
	case "metacopy":
		l.NoMetacopy, *err = isOff(value)
	case "partial":
		l.NoPartial, *err = isOff(value)
	case "copyup":
		switch value {
		case "open", "write":
			l.CopyUpAtOpen = value == "open"
		default:
			*err = fmt.Errorf("want open or write: %w", unix.EINVAL)
		}
	case "index":
		var off bool
		off, *err = isOff(value)
		l.LinkIndex = !off
	case "nfs_export": // no file has a handle
		if off, e := isOff(value); e != nil {
			*err = e
		} else if !off {
			l.Warnings = append(l.Warnings, "no effect: "+key+"="+value)
		}
	case "fsname":
		l.Source = unescape(value)
	case "subtype":
		l.Subtype = unescape(value)
	case "context", "fscontext", "defcontext", "rootcontext":
		l.Labels = append(l.Labels, key+"="+value)
	case "fsync":
		var on bool
		on, *err = isOne(value)
		l.Volatile = !on
	case "xino", "fast_ino", "threaded", "writeback", "noxattrs", "timeout", "plugins":
		*err = l.setFixed(key, value)
	case "max_write":
		if l.MaxWrite, *err = strconv.Atoi(value); *err != nil {
			*err = fmt.Errorf("%q is no number: %w", value, unix.EINVAL)
		}
	default:
		return false
	}
	return true
}

// isOff reads on or off.
func isOff(value string) (bool, error) {
	switch value {
	case "on":
		return false, nil
	case "off":
		return true, nil
	}
	return false, fmt.Errorf("want on or off: %w", unix.EINVAL)
}

// isOne reads 0 or 1.
func isOne(value string) (bool, error) {
	switch value {
	case "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, fmt.Errorf("want 0 or 1: %w", unix.EINVAL)
}

// setFixed takes an option that there is no choice about.
func (l *MountLine) setFixed(key, value string) error {
	var on, want bool
	var err error
	switch key {
	case "xino": // inode numbers are unique over all layers in any case
		if on = value == "on" || value == "auto"; !on && value != "off" {
			err = fmt.Errorf("want on, off or auto: %w", unix.EINVAL)
		}
		want = true
	case "plugins":
		if value != "" {
			err = fmt.Errorf("there are no plugins: %w", unix.EINVAL)
		}
	case "timeout": // the kernel keeps what it was told for as long as it can
		want = true
	default:
		on, err = isOne(value)
		want = key == "threaded"
		if key == "fast_ino" { // both at once
			want = on
		}
		if key == "noxattrs" && on {
			err = fmt.Errorf("extended attributes can't be turned off: %w", unix.EINVAL)
		}
	}
	if err == nil && on != want {
		l.Warnings = append(l.Warnings, "no effect: "+key+"="+value)
	}
	return err
}

// setLower reads A:B::D:E: layers, and after two colons data-only ones
// (overlayfs.rst, "Data-only lower layers").
func (l *MountLine) setLower(value string) {
	l.LowerDirs, l.DataDirs = nil, nil
	dirs := &l.LowerDirs
	for _, d := range splitEscaped(value, ':') {
		if d != "" {
			*dirs = append(*dirs, unescape(d))
		} else if len(l.LowerDirs) > 0 {
			dirs = &l.DataDirs
		}
	}
}

// setXattrPermissions: 0 keeps owner and mode on the files, 2 in
// user.containers.override_stat; 1, in a privileged attribute, is not known here.
func (l *MountLine) setXattrPermissions(value string) error {
	switch value {
	case "0":
		l.Override = OverrideAuto
	case "2":
		l.Override = OverrideAlways
	default:
		return fmt.Errorf("only 0 and 2 are supported: %w", unix.EINVAL)
	}
	return nil
}

// setFlag sets an option without a value; false if there is none of that name.
func (l *MountLine) setFlag(key string) bool {
	switch key {
	case "volatile":
		l.Volatile = true
	case "passthrough":
		l.Passthrough = true
	case "nopassthrough":
		l.Passthrough = false
	case "static_nlink":
		l.StaticNlink = true
	case "debug":
		l.Debugging = true
	case "userxattr":
		l.Xattr = XattrUser
	case "noacl":
		l.NoACL = true
	case "acl":
		l.NoACL = false
	case "squash_to_root":
		zero, zero2 := uint32(0), uint32(0)
		if l.SquashUID == nil {
			l.SquashUID = &zero
		}
		if l.SquashGID == nil {
			l.SquashGID = &zero2
		}
	case "ro":
		l.ReadOnly = true
	case "rw":
		l.ReadOnly = false
	case "allow_other":
		l.AllowOther = true
	case "default_permissions":
		l.Permissions = true
	case "suid":
		l.Suid = true
	case "nosuid":
		l.Suid = false
	case "dev":
		l.Dev = true
	case "nodev":
		l.Dev = false
	case "exec":
		l.NoExec = false
	case "noexec":
		l.NoExec = true
	case "noatime", "nodiratime", "atime", "diratime", "relatime", "kernel_cache":
		// The lowers keep their times and the kernel its pages whatever is asked.
	default:
		return false
	}
	return true
}

// splitOptions splits at commas that are neither escaped nor, in an SELinux
// context, between quotes (mount(8), "context").
func splitOptions(s string) []string {
	var opts []string
	open := false // the last option is a context whose quotes aren't closed
	for _, part := range splitEscaped(s, ',') {
		if open {
			opts[len(opts)-1] += "," + part
			open = !strings.HasSuffix(part, `"`)
			continue
		}
		opts = append(opts, part)
		key, value, _ := strings.Cut(part, "=")
		open = strings.HasSuffix(key, "context") && strings.HasPrefix(value, `"`) && (len(value) == 1 || !strings.HasSuffix(value, `"`))
	}
	return opts
}

// splitEscaped splits s at sep, but not at an escaped one. The escapes stay.
func splitEscaped(s string, sep byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// unescape removes the backslashes that protect characters.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parseMapping reads triplets HOST:INSIDE:LENGTH, separated by colons; a colon
// in front is podman's habit.
func parseMapping(s string) ([]IDRange, error) {
	var f []uint32
	for _, p := range strings.Split(s, ":") {
		if p == "" {
			continue
		}
		id, err := parseID(p)
		if err != nil {
			return nil, err
		}
		f = append(f, *id)
	}
	if len(f)%3 != 0 {
		return nil, fmt.Errorf("mapping is not made of triplets: %w", unix.EINVAL)
	}
	var m []IDRange
	for ; len(f) > 0; f = f[3:] {
		m = append(m, IDRange{Host: f[0], Inside: f[1], Len: f[2]})
	}
	return m, nil
}

func parseID(s string) (*uint32, error) {
	v, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("%q is no id: %w", s, unix.EINVAL)
	}
	id := uint32(v)
	return &id, nil
}
