package buildcontext

import (
	"fmt"
	"path"
	"strings"
)

// match are the paths in t that a path of an instruction means: itself, or, sorted,
// what its wildcards match (path.Match). What it names without wildcards need not be there.
// Before the first wildcard symbolic links are followed, and after it none.
func match(t tree, p string) ([]string, error) {
	clean := strings.TrimPrefix(path.Clean(p), "/")
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return nil, fmt.Errorf("%w: %s ()", ErrOutside, p)
	}
	elems := strings.Split(clean, "/")
	i := 0
	for i < len(elems) && !hasWildcards(elems[i]) {
		i++
	}
	plain := "/" + strings.Join(elems[:i], "/")
	if i == len(elems) {
		return []string{path.Clean(plain)}, nil
	}
	for _, e := range elems[i:] {
		if _, err := path.Match(e, ""); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	_, at, err := find(t, plain)
	if err != nil {
		return nil, err
	}
	return matchBelow(t, at, elems[i:], nil)
}

// matchBelow appends what elems match below the directory at dir.
func matchBelow(t tree, dir string, elems, out []string) ([]string, error) {
	o, ok, err := t.stat(dir)
	if err != nil || !ok || !o.isDir() {
		return out, err
	}
	kids, err := t.list(dir)
	if err != nil {
		return nil, err
	}
	for i := range kids {
		ok, _ := path.Match(elems[0], kids[i].name) // that it is well formed is known
		if !ok {
			continue
		}
		at := path.Join(dir, kids[i].name)
		if len(elems) == 1 {
			out = append(out, at)
		} else if kids[i].isDir() {
			if out, err = matchBelow(t, at, elems[1:], out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// hasWildcards tells whether s has a special character of path.Match that isn't
// escaped.
func hasWildcards(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*', '?', '[':
			return true
		case '\\':
			i++
		}
	}
	return false
}
