package runtime

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
	"os"
)

// A User is who a container's process runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
	Home     string   // from passwd, or "/"
}

// maxAccounts bounds what is read of a container's passwd and group.
const maxAccounts = 16 << 20

// LookupUser resolves "user", "user:group", "uid" or "uid:gid", in any mixture,
// against /etc/passwd and /etc/group of a container's root, with Docker's rules: ""
// is root; numbers need not be listed; a user's supplementary groups are those that
// list it, unless a group is given. Unknown names wrap [ErrUser].
func LookupUser(root, name string) (User, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: open root: %w", name, err)
	}
	defer unix.Close(fd)
	passwd, err := rootDir{fd}.account("/etc/passwd")
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: %w", name, err)
	}
	group, err := rootDir{fd}.account("/etc/group")
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: %w", name, err)
	}
	u, err := user.GetExecUser(name, &user.ExecUser{Home: "/"}, strings.NewReader(passwd), strings.NewReader(group))
	if err != nil {
		return User{}, fmt.Errorf("%w: %q: %w", ErrUser, name, err)
	}
	r := User{UID: uint32(u.Uid), GID: uint32(u.Gid), Home: u.Home}
	for _, g := range u.Sgids {
		r.Groups = append(r.Groups, uint32(g))
	}
	if r.Home == "" {
		r.Home = "/"
	}
	return r, nil
}

// LookupGroups finds the ids of groups, names or numbers, in the /etc/group of a
// container's root. Unknown names wrap [ErrUser].
func LookupGroups(root string, names []string) ([]uint32, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("look up groups: open root: %w", err)
	}
	defer unix.Close(fd)
	group, err := rootDir{fd}.account("/etc/group")
	if err != nil {
		return nil, fmt.Errorf("look up groups: %w", err)
	}
	ids, err := user.GetAdditionalGroups(names, strings.NewReader(group))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUser, err)
	}
	out := make([]uint32, len(ids))
	for i, id := range ids {
		out[i] = uint32(id)
	}
	return out, nil
}

// account reads a file of the container; one that doesn't exist is empty.
func (r rootDir) account(name string) (string, error) {
	// Not blocking, should it be a pipe; and never a device that reading changes.
	fd, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open %s in the container: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s in the container is no regular file", name)
	}
	var b strings.Builder
	n, err := io.Copy(&b, io.LimitReader(f, maxAccounts+1))
	if err == nil && n > maxAccounts {
		err = fmt.Errorf("larger than %d bytes", maxAccounts)
	}
	if err != nil {
		return "", fmt.Errorf("read %s in the container: %w", name, err)
	}
	return b.String(), nil
}
