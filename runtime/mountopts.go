package runtime

import (
	"strings"

	"golang.org/x/sys/unix"
)

// mountOptions is what a mount's options of the runtime specification
// (config-linux.md, "Linux mount options") mean to the kernel.
type mountOptions struct {
	Set, Clear       uint64   // MOUNT_ATTR_* of the mount itself
	RecSet, RecClear uint64   // the same for the mount and all below it
	Propagation      uint64   // MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE or 0
	RecPropagation   bool     // for all mounts below, too
	Bind, Recursive  bool     // bind, rbind
	IDMap, RecIDMap  bool     // idmap, ridmap
	Remount          bool     // a mount that is there already is changed
	CopyUp           bool     // tmpcopyup: what the directory holds is copied into the new file system
	Flags            []string // flags of the file system, e.g. "sync"
	Data             []string // the rest, "key" or "key=value", for the file system
}

// attrOption is an option that sets or clears an attribute. Access time is a
// field of several bits, of which one value is chosen.
type attrOption struct{ set, clear uint64 }

var attrOptions = map[string]attrOption{
	"ro":            {set: unix.MOUNT_ATTR_RDONLY},
	"rw":            {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid":        {set: unix.MOUNT_ATTR_NOSUID},
	"suid":          {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev":         {set: unix.MOUNT_ATTR_NODEV},
	"dev":           {clear: unix.MOUNT_ATTR_NODEV},
	"noexec":        {set: unix.MOUNT_ATTR_NOEXEC},
	"exec":          {clear: unix.MOUNT_ATTR_NOEXEC},
	"nosymfollow":   {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"symfollow":     {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"nodiratime":    {set: unix.MOUNT_ATTR_NODIRATIME},
	"diratime":      {clear: unix.MOUNT_ATTR_NODIRATIME},
	"relatime":      {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"norelatime":    {clear: unix.MOUNT_ATTR__ATIME},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"atime":         {clear: unix.MOUNT_ATTR__ATIME},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"nostrictatime": {clear: unix.MOUNT_ATTR__ATIME},
}

var propagations = map[string]uint64{
	"shared":     unix.MS_SHARED,
	"private":    unix.MS_PRIVATE,
	"slave":      unix.MS_SLAVE,
	"unbindable": unix.MS_UNBINDABLE,
}

// parseMountOptions sorts a mount's options. What it doesn't know goes to the
// file system, which refuses what it doesn't know either.
func parseMountOptions(options []string) (mountOptions, error) {
	var m mountOptions
	for _, o := range options {
		if a, ok := attrOptions[o]; ok {
			m.Set = m.Set&^a.clear | a.set
			m.Clear |= a.clear
			continue
		}
		if a, ok := attrOptions[strings.TrimPrefix(o, "r")]; ok && o[0] == 'r' {
			m.RecSet = m.RecSet&^a.clear | a.set
			m.RecClear |= a.clear
			continue
		}
		if p, ok := propagations[o]; ok {
			m.Propagation, m.RecPropagation = p, false
			continue
		}
		if p, ok := propagations[strings.TrimPrefix(o, "r")]; ok && o[0] == 'r' {
			m.Propagation, m.RecPropagation = p, true
			continue
		}
		switch o {
		case "defaults", "", "silent", "loud":
		case "bind":
			m.Bind = true
		case "rbind":
			m.Bind, m.Recursive = true, true
		case "sync", "dirsync", "mand", "lazytime", "iversion":
			m.Flags = append(m.Flags, o)
		case "async", "nomand", "nolazytime", "noiversion", "nodirsync":
			// The kernel's default for a new file system.
		case "tmpcopyup":
			m.CopyUp = true
		case "idmap":
			m.IDMap = true
		case "ridmap":
			m.IDMap, m.RecIDMap = true, true
		case "remount":
			m.Remount = true
		case "move":
			return m, unsupported("mounts.options " + o)
		default:
			m.Data = append(m.Data, o)
		}
	}
	return m, nil
}

// empty tells that a mount_setattr(2) would change nothing.
func emptyAttr(a unix.MountAttr) bool {
	return a.Attr_set == 0 && a.Attr_clr == 0 && a.Propagation == 0
}

// setAttrs gives the options to an existing mount, which fd (O_PATH) is the root of.
func (m mountOptions) setAttrs(fd int) error {
	propagation := m.Propagation
	for _, call := range []struct {
		flags uint
		attr  unix.MountAttr
	}{
		{unix.AT_RECURSIVE, unix.MountAttr{Attr_set: m.RecSet, Attr_clr: m.RecClear}},
		{0, unix.MountAttr{Attr_set: m.Set, Attr_clr: m.Clear}},
	} {
		if call.attr.Attr_set&unix.MOUNT_ATTR__ATIME != 0 {
			call.attr.Attr_clr |= unix.MOUNT_ATTR__ATIME
		}
		if propagation != 0 && m.RecPropagation == (call.flags != 0) {
			call.attr.Propagation = propagation
		}
		if emptyAttr(call.attr) {
			continue
		}
		if err := unix.MountSetattr(fd, "", call.flags|unix.AT_EMPTY_PATH, &call.attr); err != nil {
			return err
		}
	}
	return nil
}
