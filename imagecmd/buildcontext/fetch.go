package buildcontext

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/internal/weburl"
)

// checkChecksum refuses a --checksum that can't be of what is named.
func (c *Copy) checkChecksum() error {
	if c.Checksum == "" {
		return nil
	}
	if !c.Add {
		return errors.New("checksum can't be specified for COPY")
	}
	if len(c.Paths) != 1 {
		return errors.New("checksum can't be specified for multiple sources")
	}
	_, git, _ := ParseGit(c.Paths[0])
	switch {
	case git:
		if !commitRegexp().MatchString(c.Checksum) {
			return fmt.Errorf("invalid checksum %q: of a git repository it is a commit", c.Checksum)
		}
	case !weburl.Is(c.Paths[0]):
		return errors.New("checksum requires HTTP(S) or Git sources")
	default:
		d, err := digest.Parse(c.Checksum)
		if err == nil && d.Algorithm() != digest.SHA256 {
			err = digest.ErrDigestUnsupported
		}
		if err != nil {
			return fmt.Errorf("invalid checksum %q: %w", c.Checksum, err)
		}
	}
	return nil
}

// remote selects what p names if that is a URL or a repository.
func (s *Selection) remote(ctx context.Context, p string) (bool, error) {
	g, git, err := ParseGit(p)
	if git = git && !g.Short; err != nil || !git && !weburl.Is(p) {
		return false, err
	}
	if !s.c.Add {
		if git {
			return true, errors.New("source can't be a git ref for COPY")
		}
		return true, errors.New("source can't be a URL for COPY")
	}
	i := &item{name: urlName(p), unpack: s.c.Unpack != nil && *s.c.Unpack}
	i.fetch = func(ctx context.Context) (*node, error) { return s.fetchURL(ctx, p, i.name) }
	exact := s.c.Checksum != ""
	if git {
		if g, err = s.c.gitOptions(g); err != nil {
			return true, err
		}
		keep := g.KeepGit != nil && *g.KeepGit
		i.name, i.unpack = "", false
		i.fetch = func(ctx context.Context) (*node, error) { return s.fetchRepository(ctx, g, keep) }
		exact = len(g.Checksum) == 40 || len(g.Checksum) == 64
		i.known = fmt.Sprintf("git %q %q %q %t %t", g.Checksum, g.Remote, g.Dir, keep, g.NoModules)
	} else {
		i.known = "url " + s.c.Checksum
		if _, dir := s.c.dest(); dir && i.name == "" {
			return true, fmt.Errorf("cannot determine filename from url: %s", p)
		}
	}
	s.items = append(s.items, i)
	if !exact {
		_, err = s.get(ctx, i)
	}
	return true, err
}

// gitOptions joins the flags with what the repository's name says.
func (c *Copy) gitOptions(g Git) (Git, error) {
	if c.KeepGit != nil {
		if g.KeepGit != nil && *g.KeepGit != *c.KeepGit {
			return g, errors.New("inconsistent keep-git-dir configuration")
		}
		g.KeepGit = c.KeepGit
	}
	if c.Checksum != "" && g.Checksum != "" && c.Checksum != g.Checksum {
		return g, fmt.Errorf("checksum mismatch %q != %q", c.Checksum, g.Checksum)
	}
	if g.Checksum == "" {
		g.Checksum = c.Checksum
	}
	return g, nil
}

// fetchRepository is the root of a repository.
func (s *Selection) fetchRepository(ctx context.Context, g Git, keep bool) (*node, error) {
	src, err := s.o.fetchGit(ctx, g.Remote, g, s.o.Temp, keep)
	if err != nil {
		return nil, err
	}
	s.closing(src.Close)
	exclude, err := newPatterns(s.c.Exclude)
	if err != nil {
		return nil, err
	}
	return s.whole(ctx, src, exclude)
}

// whole is the root of a source with all that it holds, but what is excluded.
func (s *Selection) whole(ctx context.Context, src *Source, exclude *patterns) (*node, error) {
	root, _, err := src.tree.stat("/")
	if err != nil {
		return nil, err
	}
	return s.walk(ctx, src, nil, exclude).node(root, "/", "")
}

// urlName is what a file from a URL is called; "" if the URL doesn't say.
func urlName(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	if name := path.Base(u.Path); name != "." && name != "/" {
		return name
	}
	return ""
}

// fetchURL is the file that a URL names. Its mode is 0600 and its time the Last-Modified of the answer,
// or that of the instruction (docs.docker.com/reference/dockerfile, "Adding files from a URL").
func (s *Selection) fetchURL(ctx context.Context, from, name string) (*node, error) {
	dir, err := os.MkdirTemp(s.o.Temp, "url-")
	if err != nil {
		return nil, err
	}
	s.closing(func() error { return os.RemoveAll(dir) })
	got, err := s.o.download(ctx, from, filepath.Join(dir, "file"))
	if err != nil {
		return nil, err
	}
	sum := digest.NewDigestFromBytes(digest.SHA256, got.sum[:])
	if want := digest.Digest(s.c.Checksum); want != "" && want != sum {
		return nil, fmt.Errorf("digest mismatch %s: %s", sum, want)
	}
	t, err := openDirTree(dir)
	if err != nil {
		return nil, err
	}
	s.closing(t.close)
	at := s.now()
	if !got.modified.IsZero() {
		at = got.modified
	}
	if name == "" {
		name = "__unnamed__"
	}
	o := object{name: name, attr: cow.Attr{Mode: unix.S_IFREG | 0o600, Size: got.size, Mtime: at.Unix(), MtimeNsec: uint32(at.Nanosecond())}}
	src := fromFile(from, o, func() (cow.Data, error) { return t.open("/file") })
	return &node{object: o, src: src, path: "/" + name, plain: true, summed: true, sum: got.sum}, nil
}

// downloaded is what came of a URL.
type downloaded struct {
	sum      sum
	size     int64
	modified time.Time // zero: not said
}

// download writes what a GET of url answers to a new file.
func (f *Fetch) download(ctx context.Context, url, file string) (d downloaded, err error) {
	resp, err := f.get(ctx, url)
	if err != nil {
		return d, err
	}
	defer resp.Body.Close()
	to, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return d, err
	}
	h := sha256.New()
	d.size, err = io.Copy(io.MultiWriter(to, h), resp.Body)
	if err = errors.Join(err, to.Close()); err != nil {
		return d, fmt.Errorf("get %s: %w", resp.Request.URL.Redacted(), err)
	}
	h.Sum(d.sum[:0])
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		d.modified = t
	}
	return d, nil
}
