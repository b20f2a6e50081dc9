package buildcontext

import (
	"context"
	"io"
	"net/http"
)

// Options says how contexts are opened.
type Options struct {
	// Dockerfile is -f: relative to the context, or, for a directory, to the
	// working directory where it isn't there; "-" is Stdin. "" is "Dockerfile", or
	// "dockerfile" where that is missing.
	Dockerfile string
	Stdin      io.Reader
	Temp       string       // a directory for what must be kept of tars, URLs and repositories; "" is os.TempDir()
	Client     *http.Client // for URLs; nil is http.DefaultClient
	GitEnv     []string     // the environment of the git program; nil is that of this process
	// MaxExpansion bounds decompression, as in layerpack.PackOptions.
	MaxExpansion int64
	// Fetching, when not nil, is told what is about to be fetched.
	Fetching func(what string)
}

// A Context is what `build PATH | URL | -` names.
type Context struct {
	*Source                // without what is ignored
	Dockerfile     []byte  // its content
	DockerfileName string  // its path within the context, or as it was given; "Dockerfile" from stdin
	Ignore         *Ignore // nil: nothing
	IgnoreName     string  // the file that says so, such as ".dockerignore"; "" if there is none
}

// Open opens the build context where: a directory; "-", a tar or a Dockerfile on
// stdin; the URL of either; a git repository as in [ParseGit]. The Dockerfile,
// and NAME.dockerignore beside it, or else .dockerignore in the context, are read.
// Neither has an effect on whether they are in the context, unless they ignore themselves.
func Open(ctx context.Context, where string, o Options) (*Context, error) { return nil, errUnfinished }

// OpenNamed opens the value of --build-context NAME=VALUE: a directory, the URL of a
// tar, or a git repository. Images are the caller's: see [ImageOf].
func OpenNamed(ctx context.Context, name, value string, o Options) (*Source, error) {
	return nil, errUnfinished
}

// ImageOf tells whether the value of a --build-context is an image's, and splits
// docker-image://REFERENCE and oci-layout://PATH[:TAG|@DIGEST] into scheme and rest.
func ImageOf(value string) (scheme, rest string, ok bool) { return "", "", false }
