package buildcontext

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/internal/weburl"
	"github.com/cfs-project/cfs/layerpack"
)

// Options says how contexts are opened.
type Options struct {
	// Dockerfile is -f: relative to the context; for a directory to the working
	// directory first, as in Docker. "-" is Stdin. "" is "Dockerfile", or "dockerfile" where that is missing.
	Dockerfile string
	Stdin      io.Reader
	Temp       string // a directory for what must be kept of tars, URLs and repositories; "" is os.TempDir()
	Fetch
	// KeepGit has a repository's .git be part of the context, where its name doesn't say whether it is.
	KeepGit bool
	// MaxExpansion bounds decompression, as in layerpack.PackOptions.
	MaxExpansion int64
	// Fetching, when not nil, is told what is about to be fetched.
	Fetching func(what string)
}

// A Context is what `build PATH | URL | -` names.
type Context struct {
	*Source                // without what is ignored
	Dockerfile     []byte  // its content
	DockerfileName string  // as messages call it; "Dockerfile" from stdin
	Ignore         *Ignore // nil: nothing
	IgnoreName     string  // the file that says so, such as ".dockerignore"; "" if there is none
}

// buildContext is what messages call the main context.
const buildContext = "build context"

// Open opens the build context where: a directory; "-", a tar or a Dockerfile on
// stdin; the URL of either; a git repository as in [ParseGit]. The Dockerfile,
// and NAME.dockerignore beside it, or else .dockerignore in the context, are read, also if they
// are ignored.
func Open(ctx context.Context, where string, o Options) (*Context, error) {
	c, err := o.open(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("unable to prepare context: %w", err)
	}
	return c, nil
}

func (o *Options) open(ctx context.Context, where string) (*Context, error) {
	if where == "-" {
		if o.Dockerfile == "-" {
			return nil, errors.New("invalid argument: can't use stdin for both build context and dockerfile")
		}
		return o.stream(ctx, o.Stdin)
	}
	if st, err := os.Stat(where); err == nil && st.IsDir() {
		src, err := FromDir(buildContext, where, nil)
		if err != nil {
			return nil, err
		}
		return o.finish(&Context{Source: src}, true)
	}
	g, git, err := ParseGit(where)
	switch {
	case err != nil:
		return nil, err
	case git:
		o.fetching(where)
		keep := o.KeepGit
		if g.KeepGit != nil {
			keep = *g.KeepGit
		}
		src, err := o.fetchGit(ctx, buildContext, g, o.Temp, keep)
		if err != nil {
			return nil, err
		}
		return o.finish(&Context{Source: src}, false)
	case weburl.Is(where):
		o.fetching(where)
		resp, err := o.get(ctx, where)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return o.stream(ctx, resp.Body)
	}
	return nil, fmt.Errorf("path %q not found", where)
}

func (o *Options) fetching(what string) {
	if o.Fetching != nil {
		o.Fetching(what)
	}
}

// stream is the context of a tar, or of a Dockerfile alone.
func (o *Options) stream(ctx context.Context, r io.Reader) (*Context, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	_, err := layerpack.Detect(b)
	if err != nil && !errors.Is(err, layerpack.ErrInvalid) {
		return nil, err
	}
	if _, empty := b.Peek(1); err == nil && empty == nil {
		src, err := FromTar(ctx, buildContext, b, o.Temp, o.MaxExpansion, nil)
		if err != nil {
			return nil, err
		}
		return o.finish(&Context{Source: src}, false)
	}
	text, err := io.ReadAll(io.LimitReader(b, maxDockerfile+1))
	if err == nil && len(text) > maxDockerfile {
		err = fmt.Errorf("neither a tar nor a Dockerfile: more than %d bytes", maxDockerfile)
	}
	if err != nil {
		return nil, err
	}
	empty := fromFile(buildContext, object{}, func() (cow.Data, error) { return nil, ErrNotFound })
	return &Context{Source: empty, Dockerfile: text, DockerfileName: defaultDockerfile}, nil
}

// OpenNamed opens the value of --build-context NAME=VALUE: a directory, the URL of a
// tar, or a git repository, without what its .dockerignore leaves out. Images are the caller's: see [ImageOf].
func OpenNamed(ctx context.Context, name, value string, o Options) (*Source, error) {
	src, err := o.openNamed(ctx, name, value)
	if err != nil {
		return nil, fmt.Errorf("build context %s: %w", name, err)
	}
	return src, nil
}

func (o *Options) openNamed(ctx context.Context, name, value string) (src *Source, err error) {
	label := "context " + name
	g, git, err := ParseGit(value)
	switch st, statErr := os.Stat(value); {
	case statErr == nil && st.IsDir():
		src, err = FromDir(label, value, nil)
	case err != nil:
	case git:
		o.fetching(value)
		src, err = o.fetchGit(ctx, label, g, o.Temp, g.KeepGit != nil && *g.KeepGit)
	case weburl.Is(value):
		o.fetching(value)
		var resp *http.Response
		if resp, err = o.get(ctx, value); err == nil {
			src, err = FromTar(ctx, label, resp.Body, o.Temp, o.MaxExpansion, nil)
			resp.Body.Close()
		}
	case strings.Contains(value, "://"):
		err = fmt.Errorf("unsupported context source %s", value)
	default:
		err = fmt.Errorf("path %q not found", value)
	}
	if err != nil {
		return nil, err
	}
	ignore, _, err := readIgnore(src, defaultIgnore)
	if err != nil {
		src.Close()
		return nil, err
	}
	return src.ignoring(ignore), nil
}

// ImageOf tells whether the value of a --build-context is an image's, and splits
// docker-image://REFERENCE and oci-layout://PATH[:TAG|@DIGEST] into scheme and rest.
func ImageOf(value string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(value, "://")
	if ok && (scheme == "docker-image" || scheme == "oci-layout") {
		return scheme, rest, true
	}
	return "", "", false
}
