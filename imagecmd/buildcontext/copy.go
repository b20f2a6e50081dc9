package buildcontext

import (
	"path"
	"strings"
	"time"
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

	Checksum string // ADD --checksum: sha256:HEX of a URL's content, or the beginning of a commit
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
	Fetch
	// MaxExpansion bounds decompression, as in layerpack.PackOptions.
	MaxExpansion int64
	// Note is told what can't be copied, such as sockets, and why; may be nil.
	Note func(path, what string)
}

func (c *Copy) verb() string {
	if c.Add {
		return "ADD"
	}
	return "COPY"
}

// dest is where the copy goes, absolute and clean, and whether it is said to be a
// directory: by a slash at the end, or as "." or "..". A ".." in it is of the text, and
// not of where links lead.
func (c *Copy) dest() (p string, dir bool) {
	p = c.Dest
	if !path.IsAbs(p) {
		p = path.Join("/", c.WorkDir) + "/" + p
	}
	dir = strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")
	return path.Clean(p), dir
}
