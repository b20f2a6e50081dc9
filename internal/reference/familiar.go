package reference

import (
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// What a name stands for that does not say it.
const (
	defaultDomain = "docker.io"
	legacyDomain  = "index.docker.io" // what Docker Hub was once
	official      = "library/"
	defaultTag    = "latest"
	localhost     = "localhost"
)

// ParseNormalizedNamed reads a name as people give it: without a domain it is Docker Hub's,
// and one without a slash is below library/ there. Sixty-four hexadecimal digits
// are no name but an ID, and refused.
func ParseNormalizedNamed(s string) (Named, error) {
	if isIdentifier(s) {
		return nil, fmt.Errorf("invalid repository name (%s), cannot specify 64-byte hexadecimal strings", s)
	}
	domain, rest := splitDomain(s)
	if remote, _, _ := strings.Cut(rest, ":"); strings.ToLower(remote) != remote {
		return nil, fmt.Errorf("%w: repository name (%s) must be lowercase", ErrInvalidFormat, remote)
	}
	return parse(domain + "/" + rest)
}

// ParseAnyReference reads a name, or an ID: with its algorithm, or sixty-four
// hexadecimal digits.
func ParseAnyReference(s string) (Reference, error) {
	if isIdentifier(s) {
		return digestReference("sha256:" + s), nil
	}
	if strings.IndexByte(s, ':') > 0 { // else it is no digest
		if d, err := digest.Parse(s); err == nil {
			return digestReference(d), nil
		}
	}
	return ParseNormalizedNamed(s)
}

// ParseNamed reads a name in full; [ErrNotCanonical] is one that is short for
// another.
func ParseNamed(s string) (Named, error) {
	n, err := ParseNormalizedNamed(s)
	if err == nil && n.String() != s {
		return nil, ErrNotCanonical
	}
	return n, err
}

// isIdentifier tells whether s is the ID of an image without its algorithm.
func isIdentifier(s string) bool {
	return len(s) == 64 && all(s, func(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' })
}

// splitDomain finds the domain of a name, and the rest of it, in full. The first component
// is one if it looks like a host: it has a dot or a port or is localhost, or has
// upper-case letters, which no path may have.
func splitDomain(s string) (domain, rest string) {
	first, after, ok := strings.Cut(s, "/")
	switch {
	case !ok:
		return defaultDomain, official + s
	case first == legacyDomain:
		domain, rest = defaultDomain, after
	case first == localhost, strings.ContainsAny(first, ".:"), strings.ToLower(first) != first:
		domain, rest = first, after
	default:
		domain, rest = defaultDomain, s
	}
	if domain == defaultDomain && !strings.Contains(rest, "/") {
		rest = official + rest
	}
	return domain, rest
}

// familiar is the short form of a repository.
func (r repository) familiar() repository {
	if r.domain != defaultDomain {
		return r
	}
	if short, ok := strings.CutPrefix(r.path, official); ok && !strings.Contains(short, "/") {
		return repository{"", short}
	}
	return repository{"", r.path}
}

// FamiliarName is the repository of a name as Docker shows it: "debian".
func FamiliarName(n Named) string { return repositoryOf(n).familiar().Name() }

// FamiliarString is a reference as Docker shows it: "debian:12".
func FamiliarString(r Reference) string {
	n, ok := r.(Named)
	if !ok {
		return r.String()
	}
	return repositoryOf(n).familiar().with(parts(n)).String()
}

// FamiliarMatch tells whether a pattern of [path.Match] matches what Docker shows, with
// the tag or without. The error is of the pattern.
func FamiliarMatch(pattern string, r Reference) (bool, error) {
	matched, err := path.Match(pattern, FamiliarString(r))
	if n, ok := r.(Named); ok && !matched {
		matched, _ = path.Match(pattern, FamiliarName(n))
	}
	return matched, err
}
