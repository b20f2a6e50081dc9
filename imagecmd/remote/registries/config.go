package registries

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cfs-project/cfs/internal/reference"
)

// ErrBlocked: registries.conf forbids the registry of a reference.
var ErrBlocked = errors.New("registry is blocked by registries.conf")

// Config is what all files together say. The zero value is a host without any.
type Config struct {
	search     []string
	mode       string
	aliases    map[string]alias
	registries []registry
}

type alias struct {
	name reference.Named
	file string
}

func newAlias(short, full, file string) (alias, error) {
	if !IsShort(short) || strings.ContainsAny(short, ":@") {
		return alias{}, fmt.Errorf("%w: alias %.100q is no short name", ErrInvalid, short)
	}
	ref, err := reference.ParseNamed(full)
	if err != nil || !reference.IsNameOnly(ref) {
		return alias{}, fmt.Errorf("%w: alias %.100q is for %.100q, which is no full name without a tag", ErrInvalid, short, full)
	}
	return alias{ref, file}, nil
}

// IsShort tells whether a name, with a tag or digest or without, has no
// registry. Which first component is one is Docker's rule: it has a dot or a
// colon, or is "localhost".
func IsShort(name string) bool {
	first, _, several := strings.Cut(name, "/")
	if !several {
		return true
	}
	return !strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first
}

// A Candidate is a full name that a short one may mean.
type Candidate struct {
	Name reference.Named // with the tag and digest of the short one
	From string          // the file whose alias it is; "" = it is not one
}

// Short lists what a short name may mean, in the order to ask; nil when no file
// says anything about it, and Docker's rule holds.
func (c *Config) Short(name string) ([]Candidate, error) {
	if !IsShort(name) {
		return nil, nil
	}
	base, rest := name, ""
	if i := strings.IndexAny(name, ":@"); i >= 0 {
		base, rest = name[:i], name[i:]
	}
	if a, ok := c.aliases[base]; ok {
		ref, err := reference.ParseNormalizedNamed(a.name.String() + rest)
		if err != nil {
			return nil, err
		}
		return []Candidate{{ref, a.file}}, nil
	}
	if len(c.search) > 1 && c.mode == "enforcing" {
		return nil, fmt.Errorf("short-name %q is in none of the aliases, and registries.conf enforces one where there are several registries to search (%s)",
			name, strings.Join(c.search, ", "))
	}
	var out []Candidate
	for _, host := range c.search {
		ref, err := reference.ParseNormalizedNamed(trimSlash(host) + "/" + name)
		if err != nil {
			return nil, fmt.Errorf("%w: unqualified-search-registries has %.100q: %w", ErrInvalid, host, err)
		}
		out = append(out, Candidate{Name: ref})
	}
	return out, nil
}

// A Place is where a repository is to be had.
type Place struct {
	Host       string // HOST[:PORT]
	Repository string // the path there
	Insecure   bool   // TLS need not be verified, or be there at all
	Mirror     bool
}

// Places lists where to pull a repository from, mirrors first. What mirrors
// there are depends on whether it is pulled by its digest. The last place is
// the location itself, which is where to push.
func (c *Config) Places(named reference.Named, byDigest bool) ([]Place, error) {
	r := c.find(named.Name())
	if r == nil {
		return []Place{{Host: reference.Domain(named), Repository: reference.Path(named)}}, nil
	}
	if r.Blocked {
		return nil, fmt.Errorf("%w: %s", ErrBlocked, r.Prefix)
	}
	var out []Place
	for _, m := range r.Mirrors {
		if !m.serves(byDigest, r.MirrorByDigestOnly) {
			continue
		}
		p, err := place(r.rewrite(named.Name(), m.Location))
		if err != nil {
			return nil, err
		}
		p.Insecure, p.Mirror = m.Insecure, true
		out = append(out, p)
	}
	p, err := place(r.rewrite(named.Name(), r.Location))
	p.Insecure = r.Insecure
	return append(out, p), err
}

// Host is where a registry that is given by its name alone is, and whether it is
// insecure. ErrBlocked: it is not to be used.
func (c *Config) Host(host string) (Place, error) {
	r := c.find(host)
	switch {
	case r == nil:
		return Place{Host: host}, nil
	case r.Blocked:
		return Place{}, fmt.Errorf("%w: %s", ErrBlocked, r.Prefix)
	}
	to, _, _ := strings.Cut(r.rewrite(host, r.Location), "/")
	return Place{Host: to, Insecure: r.Insecure}, nil
}

func (m mirror) serves(byDigest, digestOnly bool) bool {
	switch m.PullFrom {
	case "digest-only":
		return byDigest
	case "tag-only":
		return !byDigest
	}
	return byDigest || !digestOnly
}

// find is the entry with the longest prefix of name.
func (c *Config) find(name string) *registry {
	var best *registry
	for i := range c.registries {
		r := &c.registries[i]
		if r.matches(name) && (best == nil || len(r.Prefix) > len(best.Prefix)) {
			best = r
		}
	}
	return best
}

func (r *registry) matches(name string) bool {
	if isWild(r.Prefix) {
		host, _, _ := strings.Cut(name, "/")
		host, _, _ = strings.Cut(host, ":")
		domain, path, several := strings.Cut(r.Prefix[1:], "/")
		return !several && path == "" && strings.HasSuffix(host, domain)
	}
	rest, ok := strings.CutPrefix(name, r.Prefix)
	return ok && (rest == "" || strings.ContainsRune("/:@", rune(rest[0])))
}

// rewrite puts location in the place of the prefix.
func (r *registry) rewrite(name, location string) string {
	if location == "" {
		return name
	}
	if isWild(r.Prefix) {
		_, path, several := strings.Cut(name, "/")
		if !several {
			return location
		}
		return location + "/" + path
	}
	return location + name[len(r.Prefix):]
}

func place(name string) (Place, error) {
	host, path, ok := strings.Cut(name, "/")
	if !ok {
		return Place{}, fmt.Errorf("%w: %.100q is no repository", ErrInvalid, name)
	}
	return Place{Host: host, Repository: path}, nil
}

func isWild(s string) bool { return strings.HasPrefix(s, "*.") }

func trimSlash(s string) string { return strings.TrimRight(s, "/") }

// plainPlace tells whether s can be a host with a path, in a URL too.
func plainPlace(s string) bool {
	return !strings.Contains(s, "://") && !strings.ContainsAny(s, " \t\r\n?#%@\\") && !strings.HasPrefix(s, "/")
}
