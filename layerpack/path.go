package layerpack

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPath bounds a name in a tar, in bytes: PATH_MAX without its NUL.
const maxPath = unix.PathMax - 1

// cleanPath makes a name of a tar relative to the root, "" for the root
// itself. What leads out of the root is refused; a ".." that stays inside is
// resolved as text.
func cleanPath(name string) (string, error) {
	p := strings.TrimPrefix(name, "./")
	p = strings.Trim(p, "/")
	if p == "" || p == "." {
		if name == "" {
			return "", errors.New("no name")
		}
		return "", nil
	}
	if len(name) > maxPath {
		return "", fmt.Errorf("a name of %d bytes", len(name))
	}
	if p[0] == '.' || strings.Contains(p, "/.") || strings.Contains(p, "//") {
		var kept []string
		for c := range strings.SplitSeq(p, "/") {
			switch c {
			case "", ".":
			case "..":
				if len(kept) == 0 {
					return "", errors.New("the name leads out of the root")
				}
				kept = kept[:len(kept)-1]
			default:
				kept = append(kept, c)
			}
		}
		p = strings.Join(kept, "/")
	}
	for rest := p; len(rest) > maxName; {
		i := strings.IndexByte(rest, '/')
		if i > maxName || i < 0 {
			return "", fmt.Errorf("a name of more than %d bytes", maxName)
		}
		rest = rest[i+1:]
	}
	return p, nil
}

// splitPath splits a clean path before its last name.
func splitPath(p string) (dir, base string) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p
	}
	return p[:i], p[i+1:]
}

// mark says what a name means beyond itself.
type mark uint8

const (
	markNone     mark = iota
	markWhiteout      // deletes a name of the layers below
	markOpaque        // deletes all that its directory holds in the layers below
	markIgnored       // what aufs keeps for itself
)

// The names of deletion in a tar. Source: OCI image spec, layer.md,
// "Whiteouts"; the rest of the .wh..wh. names are aufs's own.
const (
	whPrefix = ".wh."
	whMeta   = ".wh..wh."
	whOpaque = ".wh..wh..opq"
)

// markOf tells what the clean path p means, and the name a whiteout deletes.
func markOf(p string) (m mark, name string, err error) {
	if !strings.Contains(p, whPrefix) {
		return markNone, "", nil
	}
	for rest := p; rest != ""; {
		c, after, more := strings.Cut(rest, "/")
		rest = after
		switch {
		case !strings.HasPrefix(c, whPrefix):
		case c == whOpaque && !more:
			return markOpaque, "", nil
		case strings.HasPrefix(c, whMeta):
			return markIgnored, "", nil
		case more:
			return markNone, "", fmt.Errorf("%q can't be a directory: the name is reserved for whiteouts", c)
		default:
			name = c[len(whPrefix):]
			if name == "" || name == "." || name == ".." {
				return markNone, "", fmt.Errorf("%q is no valid whiteout", c)
			}
			return markWhiteout, name, nil
		}
	}
	return markNone, "", nil
}

// checkEntry refuses what no chain could make right.
func checkEntry(e *entry) error {
	p, err := cleanPath(e.name)
	if err != nil {
		return err
	}
	m, _, err := markOf(p)
	if err != nil || m != markNone {
		return err
	}
	switch e.kind {
	case kindSymlink:
		if e.target == "" || len(e.target) > maxTarget {
			return fmt.Errorf("a symbolic link with a target of %d bytes", len(e.target))
		}
	case kindHardLink:
		if _, err := cleanPath(e.target); err != nil {
			return fmt.Errorf("hard link to %q: %w", e.target, err)
		}
	}
	if p == "" && e.kind != kindDir {
		return errors.New("the root must be a directory")
	}
	return nil
}
