package buildcontext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/moby/sys/user"

	"github.com/cfs-project/cfs/cow"
)

// An owner is whom --chown gives things to.
type owner struct{ uid, gid uint32 }

// maxID is the largest owner: the next means "none" to the kernel.
const maxID = 1<<32 - 2

// maxUsers bounds passwd and group, in bytes, as BuildKit does.
const maxUsers = 10 << 20

// Names that nobody has.
var (
	errNoUser  = errors.New("no such user")
	errNoGroup = errors.New("no such group")
)

// resolveChown reads USER[:GROUP], names being those of lower's passwd and group. Without
// a group, it is the user's own; that of a number is the same number.
func resolveChown(s string, lower cow.Base, link bool) (owner, error) {
	name, group, _ := strings.Cut(s, ":")
	var o owner
	uid, err := parseID(name)
	switch {
	case err == nil:
		o = owner{uid, uid}
	case errors.Is(err, strconv.ErrRange):
		return o, chownError("user %s: %w", name, err)
	case name != "":
		file, err := userFile("/etc/passwd", lower, link, s)
		if err != nil {
			return o, err
		}
		found, err := user.ParsePasswdFilter(file, func(u user.User) bool { return u.Name == name })
		if err != nil {
			return o, chownError("/etc/passwd: %w", err)
		}
		if len(found) == 0 {
			return o, chownError("can't find uid for user %s: %w: %s", name, errNoUser, name)
		}
		o = owner{uint32(found[0].Uid), uint32(found[0].Gid)}
	}
	if group == "" {
		return o, nil
	}
	gid, err := parseID(group)
	if errors.Is(err, strconv.ErrRange) {
		return o, chownError("group %s: %w", group, err)
	}
	if err == nil {
		o.gid = gid
		return o, nil
	}
	file, err := userFile("/etc/group", lower, link, s)
	if err != nil {
		return o, err
	}
	found, err := user.ParseGroupFilter(file, func(g user.Group) bool { return g.Name == group })
	if err != nil {
		return o, chownError("/etc/group: %w", err)
	}
	if len(found) == 0 {
		return o, chownError("can't find gid for group %s: %w: %s", group, errNoGroup, group)
	}
	o.gid = uint32(found[0].Gid)
	return o, nil
}

func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n > maxID {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

// chownError has the words of Docker's classic builder.
func chownError(format string, a ...any) error {
	return fmt.Errorf("unable to convert uid/gid chown string to host mapping: "+format, a...)
}

// userFile is the file at p in lower; empty if there is none.
func userFile(p string, lower cow.Base, link bool, chown string) (io.Reader, error) {
	if link {
		return nil, chownError("--link can't look up the names of --chown=%s: use numbers", chown)
	}
	if lower == nil {
		return bytes.NewReader(nil), nil
	}
	b, err := readFile(baseTree{lower}, p, maxUsers)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, chownError("%w", err)
	}
	return bytes.NewReader(b), nil
}
