package cowtest

import (
	"os"
	"slices"
	"testing"

	"github.com/cfs-project/cfs/cow"
)

// A Limit is something that a driver is known not to do. The suite checks what
// it promises instead.
type Limit string

// The limits that a harness can declare.
const (
	// ViewsOnly: there are no snapshots; Create says what to use instead.
	ViewsOnly Limit = "images are mounted read-only"
	// OwnersSquashed: every object belongs to the caller, whatever the layer says, and
	// chown to others fails.
	OwnersSquashed Limit = "owners are squashed to the caller"
	// DevicesLeftOut: device nodes of layers aren't there, and none can be made.
	DevicesLeftOut Limit = "device nodes are left out"
	// RenameDirEXDEV: renaming a directory of a lower layer fails with EXDEV.
	RenameDirEXDEV Limit = "renaming a lower directory fails with EXDEV"
	// InodeMovesAtCopyUp: st_ino of a file is another one after its copy-up.
	InodeMovesAtCopyUp Limit = "st_ino changes at copy-up"
	// InodeMovesAtRemount: st_ino of a copied-up file is another one after a remount.
	InodeMovesAtRemount Limit = "st_ino of a copied-up file changes at remount"
	// LinkMovesInode: a new hard link to a lower file has another st_ino than
	// the file until they are mounted again.
	LinkMovesInode Limit = "a new link to a lower file has an st_ino of its own until remount"
	// LinksBreakAtCopyUp: writing to one of several hard-linked names of a
	// lower file leaves the others as they were.
	LinksBreakAtCopyUp Limit = "hard links of a lower file break at copy-up"
	// LinksEndAtLayer: a hard link to a file of a lower layer is a file of its own.
	LinksEndAtLayer Limit = "hard links across layers are copies"
	// HiddenLinksCount: st_nlink counts names that a higher layer removed.
	HiddenLinksCount Limit = "st_nlink counts names that were removed"
	// StaleDescriptors: a descriptor opened for reading before copy-up doesn't
	// see what is written later.
	StaleDescriptors Limit = "a descriptor opened before copy-up reads old data"
	// MappedWritesUnseen: Changes doesn't list a file of which nothing but what was
	// written through a mapping differs.
	MappedWritesUnseen Limit = "what is written through a mapping is no change"
	// NoRenameFlags: renameat2(2) with a flag fails with EINVAL.
	NoRenameFlags Limit = "there is no rename that replaces nothing, or exchanges"
	// SourceIsFilesystem: the mount's source in mountinfo is that of the filesystem that the snapshot is on.
	SourceIsFilesystem Limit = "the mount shows its filesystem as source"
)

// A Harness is a driver and what the suite needs to know of it.
type Harness struct {
	// New makes a driver with a home of its own, which t removes. It is called
	// several times in one test, also by processes beside it.
	New func(t testing.TB) cow.Driver
	// Chain packs layers, bottom first. What it returns stays until t ends.
	Chain func(t testing.TB, layers ...Layer) cow.Chain
	// Scratch makes a directory for snapshots on a filesystem that can carry
	// them; nil means t.TempDir.
	Scratch func(t testing.TB) string
	// Limits are what the driver doesn't do, each with the reason.
	Limits map[Limit]string
}

func (h Harness) scratch(t testing.TB) string {
	if h.Scratch != nil {
		return h.Scratch(t)
	}
	return t.TempDir()
}

// A Case is one promise of the suite.
type Case struct {
	Name string
	run  func(c *C)
}

// Run checks that the driver of h keeps every promise of [Cases], and leaves nothing in the
// kernel that was not there: no mount, no loop device, no descriptor.
func Run(t *testing.T, h Harness) {
	if what := os.Getenv(childEnv); what != "" {
		child(t, h, what) // does not return
	}
	cases := Cases()
	if why, ok := h.Limits[ViewsOnly]; ok {
		t.Logf("known limit: %s: %s", ViewsOnly, why)
		cases = slices.Concat(viewCases, readOnlyCases)
	}
	before := held(t, rootName(t))
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.run(&C{T: t, h: h, root: rootName(t)}) })
	}
	noLeaks(t, rootName(t), before)
}

// Cases lists the suite in the order in which it is run.
func Cases() []Case {
	var all []Case
	for _, group := range [][]Case{viewCases, mergeCases, writeCases, removeCases, renameCases, linkCases, snapshotCases, diffCases, lifeCases, randomCases} {
		all = append(all, group...)
	}
	return all
}
