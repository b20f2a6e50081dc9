package layerpack

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
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
		name, after, _ := strings.Cut(rest, "/")
		// What a whiteout removes may have had the longest name there is.
		if len(strings.TrimPrefix(name, whiteout.Prefix)) > maxName {
			return "", fmt.Errorf("a name of more than %d bytes", maxName)
		}
		rest = after
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

// markOf tells what the clean path p means as a whole, and the name that a
// whiteout removes. Everything below a directory of aufs's bookkeeping is
// bookkeeping; nothing can be below a whiteout.
func markOf(p string) (whiteout.Kind, string, error) {
	if !strings.Contains(p, whiteout.Prefix) {
		return whiteout.Ordinary, "", nil
	}
	for {
		name, rest, more := strings.Cut(p, "/")
		kind, target, err := whiteout.Parse(name)
		switch {
		case err != nil || !more:
			return kind, target, err
		case kind == whiteout.Meta || kind == whiteout.Opaque:
			return whiteout.Meta, "", nil
		case kind == whiteout.Remove:
			return kind, "", fmt.Errorf("%q can't be a directory: the name is reserved for whiteouts", name)
		}
		p = rest
	}
}

// checkEntry refuses what no chain could make right.
func checkEntry(e *entry) error {
	p, err := cleanPath(e.name)
	if err != nil {
		return err
	}
	m, _, err := markOf(p)
	if err != nil || m != whiteout.Ordinary {
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
