package treediff

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrs reads all extended attributes the caller may list, by name. A
// filesystem without any has none.
func xattrs(path string) ([]Xattr, error) {
	list, err := grow(func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) })
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listxattr: %w", err)
	}
	var out []Xattr
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		if name == "" {
			continue
		}
		x := Xattr{Name: name}
		v, err := grow(func(buf []byte) (int, error) { return unix.Lgetxattr(path, name, buf) })
		if err != nil {
			x.Err = err.Error()
		} else {
			x.Value = v
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// grow calls an xattr call with its size form first and again while the value
// grows under it.
func grow(call func(buf []byte) (int, error)) (string, error) {
	for {
		n, err := retry(func() (int, error) { return call(nil) })
		if err != nil {
			return "", err
		}
		if n == 0 {
			return "", nil
		}
		buf := make([]byte, n)
		n, err = retry(func() (int, error) { return call(buf) })
		if errors.Is(err, unix.ERANGE) {
			continue
		}
		if err != nil {
			return "", err
		}
		return string(buf[:n]), nil
	}
}
