package buildcontext

// A Git is a git repository as Docker names it
// (docs.docker.com/build/concepts/context, "Git repositories").
type Git struct {
	Remote   string // what git is given
	Ref      string // branch, tag, or commit; "" is the default branch
	Dir      string // of the repository that counts, relative and clean; "" is all of it
	Checksum string // beginning of the commit that Ref must be; may be empty
	KeepGit  *bool  // ?keep-git-dir=; nil: not said
	Modules  bool   // fetch submodules
}

// ParseGit reads URL[#REF[:DIR]] and URL?ref=…&subdir=…: git://, ssh://, http(s)://….git,
// and USER@HOST:PATH. It is false where s names no repository; an error is of one that is named wrong.
func ParseGit(s string) (Git, bool, error) { return Git{}, false, errUnfinished }
