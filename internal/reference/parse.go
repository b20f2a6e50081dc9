package reference

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// maxPath bounds the path of a repository, in bytes.
const maxPath = 255

// What can be wrong with a name.
var (
	ErrInvalidFormat       = errors.New("invalid reference format")
	ErrTagInvalidFormat    = errors.New("invalid tag format")
	ErrDigestInvalidFormat = errors.New("invalid digest format")
	ErrUppercase           = errors.New("repository name must be lowercase")
	ErrNameTooLong         = fmt.Errorf("repository name must not be more than %d characters", maxPath)
	ErrNotCanonical        = errors.New("repository name must be canonical")
)

// parse reads a reference that begins with its domain.
func parse(s string) (Named, error) {
	repo, tag, d, ok := split(s)
	if !ok {
		if _, _, _, ok := split(strings.ToLower(s)); ok {
			return nil, ErrUppercase
		}
		return nil, ErrInvalidFormat
	}
	if len(repo.path) > maxPath {
		return nil, ErrNameTooLong
	}
	if d != "" {
		if _, err := digest.Parse(d); err != nil {
			return nil, err
		}
	}
	return repo.with(tag, digest.Digest(d)), nil
}

// split finds the parts of a reference and holds them against the grammar. No sign that
// ends a part can be in it: "@" is in no name and no tag, "/" is in no tag and no domain,
// and ":" is in no path.
func split(s string) (repo repository, tag, digest string, ok bool) {
	name, digest, digested := strings.Cut(s, "@")
	if digested && !isDigest(digest) {
		return repo, "", "", false
	}
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, tag = name[:colon], name[colon+1:]
		if !isTag(tag) {
			return repo, "", "", false
		}
	}
	if domain, path, ok := strings.Cut(name, "/"); ok && isDomain(domain) && isPath(path) {
		return repository{domain, path}, tag, digest, true
	}
	return repository{"", name}, tag, digest, isPath(name)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' || isDigit(c) }
func isAlnum(c byte) bool { return isLower(c) || 'A' <= c && c <= 'Z' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// all tells whether s has at least one byte, and each is of a kind.
func all(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTag(s string) bool {
	return len(s) <= 128 && all(s, func(c byte) bool { return isAlnum(c) || c == '_' || c == '.' || c == '-' }) && s[0] != '.' && s[0] != '-'
}

func isDigest(s string) bool {
	algorithm, encoded, _ := strings.Cut(s, ":")
	between := true // words of the algorithm, each of which begins with a letter
	for i := range len(algorithm) {
		switch c := algorithm[i]; {
		case !between && strings.IndexByte("-_+.", c) >= 0:
			between = true
		case !isAlnum(c), between && isDigit(c):
			return false
		default:
			between = false
		}
	}
	return !between && len(encoded) >= 32 && all(encoded, isHex)
}

func isDomain(s string) bool {
	host, port, ported := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") { // an IPv6 address has colons of its own
		address, rest, closed := strings.Cut(s[1:], "]")
		if !closed || !all(address, func(c byte) bool { return isHex(c) || c == ':' }) {
			return false
		}
		port, ported = strings.CutPrefix(rest, ":")
		return rest == "" || ported && all(port, isDigit)
	}
	if ported && !all(port, isDigit) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if !all(label, func(c byte) bool { return isAlnum(c) || c == '-' }) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

func isPath(s string) bool {
	for component := range strings.SplitSeq(s, "/") {
		if !isComponent(component) {
			return false
		}
	}
	return true
}

func isComponent(s string) bool {
	for at := 0; ; {
		start := at
		for at < len(s) && isLower(s[at]) {
			at++
		}
		if at == start {
			return false
		}
		if at == len(s) {
			return true
		}
		separator := at
		for at < len(s) && s[at] == s[separator] {
			at++
		}
		switch n := at - separator; s[separator] {
		case '-':
		case '.':
			if n > 1 {
				return false
			}
		case '_':
			if n > 2 {
				return false
			}
		default:
			return false
		}
	}
}
