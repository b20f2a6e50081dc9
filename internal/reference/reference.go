package reference

import "github.com/opencontainers/go-digest"

// A Reference is what an image is looked for by.
type Reference interface {
	String() string // in full: "docker.io/library/debian:12"
}

// Named is a repository, with a tag or a digest or without.
type Named interface {
	Reference
	Name() string // the repository alone, with its domain
}

// Tagged has a tag.
type Tagged interface {
	Reference
	Tag() string
}

// NamedTagged is a repository with a tag; it may have a digest, too.
type NamedTagged interface {
	Named
	Tag() string
}

// Digested has a digest, and maybe nothing else.
type Digested interface {
	Reference
	Digest() digest.Digest
}

// Canonical is a repository with a digest; it may have a tag, too.
type Canonical interface {
	Named
	Digest() digest.Digest
}

// A repository is a Named without tag and digest, and what the others are made of.
// The domain is empty in the familiar form only.
type repository struct{ domain, path string }

func (r repository) String() string   { return r.Name() }
func (r repository) self() repository { return r }

func (r repository) Name() string {
	if r.domain == "" {
		return r.path
	}
	return r.domain + "/" + r.path
}

type tagged struct {
	repository
	tag string
}

func (t tagged) String() string { return t.Name() + ":" + t.tag }
func (t tagged) Tag() string    { return t.tag }

type canonical struct {
	repository
	digest digest.Digest
}

func (c canonical) String() string        { return c.Name() + "@" + c.digest.String() }
func (c canonical) Digest() digest.Digest { return c.digest }

type taggedCanonical struct {
	tagged
	digest digest.Digest
}

func (c taggedCanonical) String() string        { return c.tagged.String() + "@" + c.digest.String() }
func (c taggedCanonical) Digest() digest.Digest { return c.digest }

// A digestReference is the ID of an image.
type digestReference digest.Digest

func (d digestReference) String() string        { return string(d) }
func (d digestReference) Digest() digest.Digest { return digest.Digest(d) }

// repositoryOf is the repository of a name that this package has made.
func repositoryOf(n Named) repository {
	return n.(interface{ self() repository }).self()
}

// with puts a name together; tag and digest may be empty.
func (r repository) with(tag string, d digest.Digest) Named {
	switch {
	case tag != "" && d != "":
		return taggedCanonical{tagged{r, tag}, d}
	case tag != "":
		return tagged{r, tag}
	case d != "":
		return canonical{r, d}
	}
	return r
}

// parts are the tag and the digest of a name, each empty if it has none.
func parts(n Named) (tag string, d digest.Digest) {
	if t, ok := n.(Tagged); ok {
		tag = t.Tag()
	}
	if c, ok := n.(Digested); ok {
		d = c.Digest()
	}
	return tag, d
}

// Domain is the registry of a name: "docker.io".
func Domain(n Named) string { return repositoryOf(n).domain }

// Path is the repository within its registry: "library/debian".
func Path(n Named) string { return repositoryOf(n).path }

// TrimNamed is the name without tag and digest.
func TrimNamed(n Named) Named { return repositoryOf(n) }

// IsNameOnly tells whether a name has neither tag nor digest.
func IsNameOnly(n Named) bool {
	tag, d := parts(n)
	return tag == "" && d == ""
}

// TagNameOnly gives a name that has neither tag nor digest the tag "latest".
func TagNameOnly(n Named) Named {
	if IsNameOnly(n) {
		return tagged{repositoryOf(n), defaultTag}
	}
	return n
}

// WithTag is the name with that tag instead of its own; the error is
// [ErrTagInvalidFormat].
func WithTag(n Named, tag string) (NamedTagged, error) {
	if !isTag(tag) {
		return nil, ErrTagInvalidFormat
	}
	_, d := parts(n)
	return repositoryOf(n).with(tag, d).(NamedTagged), nil
}

// WithDigest is the name with that digest instead of its own; the error is
// [ErrDigestInvalidFormat].
func WithDigest(n Named, d digest.Digest) (Canonical, error) {
	if !isDigest(string(d)) {
		return nil, ErrDigestInvalidFormat
	}
	tag, _ := parts(n)
	return repositoryOf(n).with(tag, d).(Canonical), nil
}
