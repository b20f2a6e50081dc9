package buildcontext

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

// A Copy is one COPY or ADD instruction, with its variables expanded.
type Copy struct {
	Add     bool     // ADD: archives are unpacked, URLs and repositories fetched
	From    *Source  // what Paths are in; may be nil if no path needs it
	Paths   []string // sources, in order
	Inline  []Inline // here-documents; they come after Paths
	Dest    string   // as written; a slash at its end matters
	WorkDir string   // absolute; what a relative Dest is relative to; "" is "/"

	Parents bool     // --parents: keep the directories of each path, or those after "/./"
	Link    bool     // --link: the layer doesn't depend on the lower tree, which Entries doesn't look at
	Exclude []string // --exclude, in the order given
	Chown   string   // --chown: USER[:GROUP], names or numbers; "" keeps
	Chmod   string   // --chmod: octal or symbolic (chmod(1)); "" keeps

	Checksum string // ADD --checksum: sha256:HEX of a URL's content, or a commit
	KeepGit  *bool  // ADD --keep-git-dir; nil: not given
	Unpack   *bool  // ADD --unpack; nil: local archives are unpacked, fetched ones not
}

// Inline is a here-document: a file of mode 0644 with contents of the instruction.
type Inline struct {
	Name string
	Data []byte
}

// SelectOptions is what Select works with. The zero value does where nothing is fetched or unpacked.
type SelectOptions struct {
	// Temp is a directory for what is fetched and unpacked; Close removes what was
	// put there. "" is os.TempDir().
	Temp string
	// Time is that of what the instruction makes itself: here-documents and missing
	// directories. Zero is the clock's.
	Time time.Time
	// Digests remembers digests of files; may be nil.
	Digests *Digests
	Client  *http.Client // for URLs; nil is http.DefaultClient
	GitEnv  []string     // the environment of the git program; nil is that of this process
	// MaxExpansion bounds decompression, as in layerpack.PackOptions.
	MaxExpansion int64
	// Note is told what can't be copied, such as sockets, and why; may be nil.
	Note func(path, what string)
}

// A Selection is what one instruction takes. It is for one goroutine at a time.
type Selection struct{}

// Select finds what the instruction takes. It fails with [ErrNotFound] where a path
// without wildcards is not there, [ErrOutside] where it leads out of the source,
// and with what is wrong with the instruction's options. Wildcards that match
// nothing select nothing.
//
// It fetches what ADD names. Contents of files are not read.
func (c Copy) Select(ctx context.Context, o SelectOptions) (*Selection, error) {
	return nil, errUnfinished
}

// Kind is "file", "dir" or "multi": what Docker's history says that was copied
// ("COPY file:DIGEST in /dest ").
func (s *Selection) Kind() string { return "" }

// Digest is that of what is selected, and of how it is to be called, owned and
// allowed, as far as the instruction says so itself: of --chown's names, not of the
// numbers that they get of the lower tree. Dest is not in it.
func (s *Selection) Digest(ctx context.Context) (digest.Digest, error) {
	return "", errUnfinished
}

// Entries are the layer of the instruction over lower, in the order that
// layerpack.WriteLayer takes them. Lower may be nil, which is an empty tree; with
// --link it is not looked at. It is for one goroutine while Entries go on.
//
// Errors are of sources, or that the copy is not possible there, in BuildKit's
// words: a directory over a file, a file over a directory, a user that the
// lower tree doesn't know.
func (s *Selection) Entries(ctx context.Context, lower cow.Base) iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) { yield(cow.Entry{}, errUnfinished) }
}

// Close removes what was fetched and unpacked, but for data opened from it.
func (s *Selection) Close() error { return nil }
