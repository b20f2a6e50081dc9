package buildcontext

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Git is a git repository as Docker names it
// (docs.docker.com/build/concepts/context, "Git repositories").
type Git struct {
	Remote     string // what git is given
	Ref        string // branch, tag, or commit; "" is the default branch
	Dir        string // of the repository that counts, relative and clean; "" is all of it
	Checksum   string // beginning of the commit that Ref must be; may be empty
	KeepGit    *bool  // ?keep-git-dir=; nil: not said
	NoModules  bool   // ?submodules=false: don't fetch submodules
	CommitTime bool   // ?mtime=commit: files have the commit's time, and not that of the checkout
	// Short says that it is github.com/…, which could be a path, too: only a build context may be
	// named so.
	Short bool
}

var (
	schemeRegexp = lazyRegexp(`^[a-zA-Z0-9]+://`)
	scpRegexp    = lazyRegexp(`^([a-zA-Z0-9-_]+)@([a-zA-Z0-9-.]+):(.*?)(?:\?(.*?))?(?:#(.*))?$`)
	commitRegexp = lazyRegexp(`^[0-9a-f]{1,64}$`)
)

// String is the repository as messages may show it: without a password.
func (g Git) String() string {
	if u, err := url.Parse(g.Remote); err == nil && u.User != nil && u.Scheme != "" {
		return u.Redacted()
	}
	return g.Remote
}

// lazyRegexp is compiled by who needs it, and not whenever the program starts.
func lazyRegexp(s string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(s) })
}

// ParseGit reads URL[#REF[:DIR]] and URL?ref=…&subdir=…: git://, ssh://, http(s)://….git,
// USER@HOST:PATH, and github.com/…. It is false where s names no repository; an error is of one
// that is named wrong. (buildkit/frontend/dockerfile/dfgitutil.ParseGitRef)
func ParseGit(s string) (Git, bool, error) {
	var g Git
	var query url.Values
	var fragment string
	switch scheme := strings.ToLower(schemeRegexp().FindString(s)); {
	case strings.HasPrefix(s, "github.com/"), scheme == "git://", scheme == "ssh://", scheme == "http://", scheme == "https://":
		g.Short = scheme == ""
		full := s
		if g.Short {
			full = "https://" + s
		}
		u, err := url.Parse(full)
		if err != nil {
			if scheme == "http://" || scheme == "https://" {
				return Git{}, false, nil // no repository, whatever else it is
			}
			return Git{}, true, err
		}
		if strings.HasPrefix(scheme, "http") && !strings.HasSuffix(u.Path, ".git") {
			return Git{}, false, nil
		}
		if u.Host == "" {
			return Git{}, true, fmt.Errorf("%s: a git repository without a host", s)
		}
		query, fragment = u.Query(), u.Fragment
		u.Fragment, u.RawFragment, u.RawQuery, u.ForceQuery = "", "", "", false
		g.Remote = u.String()
	case scheme != "":
		return Git{}, false, nil
	default:
		m := scpRegexp().FindStringSubmatch(s)
		if m == nil {
			return Git{}, false, nil
		}
		var err error
		if query, err = url.ParseQuery(m[4]); err != nil {
			return Git{}, true, fmt.Errorf("git repository %s: %w", g, err)
		}
		fragment = m[5]
		g.Remote = m[1] + "@" + m[2] + ":" + m[3]
	}
	g.Ref, g.Dir, _ = strings.Cut(fragment, ":")
	if err := g.query(query); err != nil {
		return Git{}, true, fmt.Errorf("git repository %s: %w", g, err)
	}
	g.Dir = strings.TrimPrefix(path.Join("/", g.Dir), "/")
	if strings.HasPrefix(g.Ref, "-") || strings.ContainsAny(g.Ref, "\x00\n") {
		return Git{}, true, fmt.Errorf("git repository %s: invalid reference %q", g, g.Ref)
	}
	if g.Checksum != "" && !commitRegexp().MatchString(g.Checksum) {
		return Git{}, true, fmt.Errorf("git repository %s: invalid commit %q", g, g.Checksum)
	}
	return g, true, nil
}

// query takes in what ?KEY=VALUE&… says.
func (g *Git) query(q url.Values) error {
	flag := func(key, v string) (bool, error) {
		if v == "" {
			return true, nil
		}
		b, err := strconv.ParseBool(v)
		if err != nil {
			return false, fmt.Errorf("invalid %s value: %q", key, v)
		}
		return b, nil
	}
	var tag, branch string
	for _, key := range slices.Sorted(maps.Keys(q)) {
		if len(q[key]) > 1 {
			return fmt.Errorf("query %q has multiple values", key)
		}
		v := q[key][0]
		if v == "" && !slices.Contains([]string{"submodules", "keep-git-dir", "fetch-by-commit"}, key) {
			return fmt.Errorf("query %q has no value", key)
		}
		var err error
		switch key {
		case "ref":
			err = agree(&g.Ref, v, key)
		case "tag":
			tag = "refs/tags/" + strings.TrimPrefix(v, "refs/tags/")
		case "branch":
			branch = "refs/heads/" + strings.TrimPrefix(v, "refs/heads/")
		case "subdir":
			err = agree(&g.Dir, v, key)
		case "checksum", "commit":
			err = agree(&g.Checksum, v, key)
		case "keep-git-dir":
			var keep bool
			keep, err = flag(key, v)
			g.KeepGit = &keep
		case "submodules":
			var with bool
			with, err = flag(key, v)
			g.NoModules = !with
		case "fetch-by-commit":
			// Only a short cut: a commit is fetched by its name where the server lets us.
			_, err = flag(key, v)
		case "mtime":
			if v != "checkout" && v != "commit" {
				err = fmt.Errorf("invalid mtime value: %q (must be \"checkout\" or \"commit\")", v)
			}
			g.CommitTime = v == "commit"
		default:
			err = fmt.Errorf("unexpected query %q", key)
		}
		if err != nil {
			return err
		}
	}
	if tag != "" && branch != "" {
		return errors.New("branch conflicts with tag")
	}
	if tag += branch; tag != "" {
		return agree(&g.Ref, tag, "ref")
	}
	return nil
}

// agree sets what may have been said before, to the same.
func agree(field *string, v, what string) error {
	if *field != "" && *field != v {
		return fmt.Errorf("%s conflicts: %q vs %q", what, *field, v)
	}
	*field = v
	return nil
}
