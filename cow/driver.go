package cow

import (
	"context"
	"iter"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// Names of the two files of a packed layer below [Layer.Dir].
const (
	TarName = "layer.tar" // the layer, uncompressed, byte for byte
	TOCName = "layer.toc" // its entries with the offset of each one's data
)

// A Layer is one packed layer. It is immutable once its directory has its
// final name.
type Layer struct {
	DiffID digest.Digest // digest of the uncompressed tar (OCI image spec, "Layer DiffID")
	Dir    string        // absolute directory that holds TarName and TOCName
}

// Tar is the path of the layer's uncompressed tar.
func (l Layer) Tar() string { return filepath.Join(l.Dir, TarName) }

// TOC is the path of the layer's table of contents.
func (l Layer) TOC() string { return filepath.Join(l.Dir, TOCName) }

// A Chain is an ordered list of layers, and what a snapshot stands on.
type Chain struct {
	ID     digest.Digest // OCI image spec, "Layer ChainID"; empty for no layers
	Layers []Layer       // bottom first
	Index  string        // path of the merged index, an EROFS image whose data are in the tars
}

// A Snapshot is a chain with a place for changes on top of it.
type Snapshot struct {
	Dir  string // absolute; exists before Create; empty for a read-only view
	Base Chain
}

// MountOptions says how a snapshot is attached.
type MountOptions struct {
	// ReadOnly attaches the chain alone: Snapshot.Dir is neither needed nor
	// looked at, and no write is possible.
	ReadOnly bool
	// AllowOther lets users other than the mounting one in, and leaves the
	// permission checks to the kernel. Without it a userspace driver grants
	// its user everything, as the owner of the store may read all of it anyway.
	AllowOther bool
	// Suid and Dev honour setuid bits and device nodes; off is nosuid, nodev.
	Suid, Dev bool
	// Source is what /proc/self/mountinfo shows as the mount's source.
	Source string
}

// A Mount is an attached snapshot.
type Mount interface {
	// Unmount detaches the mount and waits until nothing of it is left, no
	// descriptor of a lower layer included. It fails with EBUSY, wrapped,
	// while the mount is in use; it can then be called again.
	Unmount() error
	// Done is closed once the mount is gone, by Unmount or by somebody's umount(8).
	Done() <-chan struct{}
}

// A Driver is one way to give a chain a writable top. Its methods may be called
// from several goroutines and processes at once; those on one snapshot may not.
type Driver interface {
	// Name is the driver's name on the command line and in state files.
	Name() string
	// Probe tells whether the driver works on this host for this process:
	// nil, or an [*Unusable] that says why not. It changes nothing.
	Probe(ctx context.Context) error
	// Create puts an empty change into s.Dir. A driver that only shows images fails
	// with an [*Unusable] that says what to use instead, and so does its Mount of a
	// snapshot; see [Description].ViewsOnly.
	Create(ctx context.Context, s Snapshot) error
	// Mount attaches s at target, an existing directory, in the calling
	// process's mount namespace. It returns when the mount is usable.
	Mount(ctx context.Context, s Snapshot, target string, o MountOptions) (Mount, error)
	// Changes lists what differs from the chain, directories before what they
	// hold, names in byte order. The snapshot may be mounted.
	Changes(ctx context.Context, s Snapshot) iter.Seq2[Change, error]
	// Diff lists what Changes does, in its order, with all that a layer says of
	// each; see [Upper.Diff] for what is listed besides. The snapshot may be
	// mounted; what is written to it meanwhile may be missing, or fail the reading
	// of an entry.
	Diff(ctx context.Context, s Snapshot) iter.Seq2[Entry, error]
	// Remove deletes what Create and Mount put into s.Dir. Removing twice is
	// no error.
	Remove(ctx context.Context, s Snapshot) error
}

// Kind says how a path differs from the chain. The values are the letters that
// `docker diff` prints.
type Kind byte

// The kinds of change.
const (
	Added   Kind = 'A'
	Changed Kind = 'C'
	Deleted Kind = 'D'
)

func (k Kind) String() string { return string(rune(k)) }

// A Change is one path that differs from the chain.
type Change struct {
	Path string // absolute within the root, slash-separated, e.g. "/etc/passwd"
	Kind Kind
}

// Unusable is why a driver does not work on this host.
type Unusable struct {
	Driver string
	Reason string // what is missing, e.g. "/dev/fuse can't be opened: permission denied"
	Hint   string // what a person can do about it; may be empty
}

func (u *Unusable) Error() string { return u.Driver + ": " + u.Reason }

// HintText is what a person can do about it.
func (u *Unusable) HintText() string { return u.Hint }

// A Completer is a driver whose snapshots may hold files that lack data, which
// only it can read, or are in another way not yet what others can take over. Found by
// type assertion.
type Completer interface {
	// Complete copies that data from the chain, so that other drivers can mount
	// the snapshot, which is not mounted meanwhile.
	Complete(ctx context.Context, s Snapshot) error
}

// A Pruner is a driver that keeps something of chains outside of snapshots, and
// can remove what is not needed any more. Found by type assertion.
type Pruner interface {
	// Prune removes what none of the chains in keep needs. What somebody has
	// mounted stays.
	Prune(ctx context.Context, keep []Chain) error
}
