package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	units "github.com/docker/go-units"

	"github.com/cfs-project/cfs/layerpack"
)

// The groups of rows that drivers are compared by.
const (
	GroupStart    = "start"
	GroupMetadata = "metadata"
	GroupFiles    = "files"
	GroupIO       = "io"
	GroupCopyUp   = "copy-up"
	GroupDepth    = "depth"
	GroupCommit   = "commit"
	GroupApps     = "apps"
	GroupShare    = "sharing"
	GroupSpace    = "space"
)

// Groups are all of them, in the order of a report.
func Groups() []string {
	return []string{GroupStart, GroupMetadata, GroupFiles, GroupIO, GroupCopyUp, GroupDepth, GroupCommit, GroupApps, GroupShare, GroupSpace}
}

// A Choice is what DriverRows are to be like.
type Choice struct {
	Sizes  Sizes
	Depths []int // layers
	// Drop tells that the kernel's caches may be dropped. Without it what would be
	// cold is measured on a new mount, with what lies below it warm.
	Drop bool
	// Fio is the path of fio(1); empty: our own engine reads and writes.
	Fio string
}

// DriverRows are what drivers are compared by, but for what is measured by whole
// commands.
func DriverRows(c Choice) []Row {
	var all []Row
	for _, rows := range [][]Row{
		c.lifeRows(), c.metadataRows(), c.fileRows(), c.ioRows(), c.copyUpRows(), c.depthRows(), c.commitRows(), c.appRows(),
	} {
		all = append(all, rows...)
	}
	return all
}

// named has a step's name end with the state it begins in.
func named(s State, name string) string { return name + ", " + s.String() }

// unwarmed is cold, or what comes nearest.
func (c Choice) unwarmed() State {
	if c.Drop {
		return Cold
	}
	return Fresh
}

func (c Choice) lifeRows() []Row {
	return []Row{{
		Group: GroupStart, Quick: true, Fixture: FixtureTree, State: Fresh, Writes: true, Life: "make and remove",
		Steps: []Step{{Name: "first file in a new container", About: "a file of 4 KiB is made in the root of a container that was just mounted", Run: func(s *Site) (Sample, error) {
			return timed(1, func() error { return writeFile(filepath.Join(s.Root, "first"), page, false) })
		}}},
	}}
}

// reading is the line of every file's contents.
const reading = "read all"

// names is what looking at names reads at least, in bytes: something. How much that is
// depends on the filesystem.
func names(*Site) int64 { return page }

// contents is what reading every file does.
func contents(s *Site) int64 { return s.Paths.Bytes }

func (c Choice) metadataRows() []Row {
	var all []Row
	add := func(st State, quick bool, fixture, name, about string, run func(*Site) (Sample, error)) {
		reads := names
		if name == reading {
			reads = contents
		}
		all = append(all, Row{Group: GroupMetadata, Quick: quick, Fixture: fixture, State: st, Steps: []Step{{Name: named(st, name), About: about, Reads: reads, Run: run}}})
	}
	const walks, readsAll = "every directory is listed and lstat called on every name, as find -ls does", "every file is found and read, as tar and grep -r do"
	for _, st := range []State{Warm, c.unwarmed()} {
		add(st, st == Warm, FixtureTree, "walk", walks, onTree(walkTree))
		add(st, st != Warm, FixtureTree, reading, readsAll, onTree(readTree))
	}
	add(Warm, false, FixtureTree, "stat", "every path is looked at by lstat", onTree(statAll))
	add(Warm, true, FixtureTree, "open, read, close", "every file is opened, read and closed by its path", onTree(openReadClose))
	add(Warm, false, FixtureMany, "list a large directory", fmt.Sprintf("the names of %d files in one directory", c.Sizes.Many), listNames)
	for _, st := range []State{Warm, c.unwarmed()} {
		add(st, false, FixtureMany, "ls -l", fmt.Sprintf("a directory of %d files is listed by ls -l", c.Sizes.Many), listMany)
	}
	return all
}

func (c Choice) fileRows() []Row {
	return []Row{
		{Group: GroupFiles, Quick: true, Fixture: FixtureEmpty, State: Fresh, Writes: true, Steps: []Step{
			{Name: "create small files", About: fmt.Sprintf("%d new files of 1 KiB, a hundred a directory", c.Sizes.Many), Run: createSmall},
			{Name: "delete them", About: "those files are removed again", Run: func(s *Site) (Sample, error) {
				return timed(s.Sizes.Many, func() error { return os.RemoveAll(filepath.Join(s.Root, untarDir)) })
			}},
		}},
		{Group: GroupFiles, Quick: true, Fixture: FixtureMany, State: Fresh, Writes: true, Steps: []Step{
			{Name: "delete the image's files", About: fmt.Sprintf("%d files that the image brings are removed", c.Sizes.Many), Run: func(s *Site) (Sample, error) {
				return timed(s.Sizes.Many, func() error { return os.RemoveAll(filepath.Join(s.Root, manyDir)) })
			}},
		}},
	}
}

func (c Choice) copyUpRows() []Row {
	big := units.BytesSize(float64(c.Sizes.Big))
	firstWrite := func(n int, name func(int) string) func(*Site) (Sample, error) {
		return func(s *Site) (Sample, error) {
			return eachFile(s, n, name, func(p string) error {
				f, err := os.OpenFile(p, os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				_, err = f.WriteAt([]byte("x"), 0)
				return errors.Join(err, f.Close())
			})
		}
	}
	const about = "a byte is written to a file of the image that nobody wrote to before: its median over several files"
	return []Row{
		{Group: GroupCopyUp, Quick: true, Fixture: FixtureBig, State: Fresh, Writes: true, Steps: []Step{
			{Name: "first write to 4KiB", About: about, Run: firstWrite(c.Sizes.smalls(), smallName)},
			{Name: "first write to 1MiB", About: about, Run: firstWrite(c.Sizes.Mids, midName)},
			{Name: "first write to " + big, About: "a byte is written to a large file of the image", Run: firstWrite(1, bigName)},
			{Name: "chmod of " + big, About: "the mode of another large file of the image is changed", Run: func(s *Site) (Sample, error) {
				return timed(1, func() error { return os.Chmod(filepath.Join(s.Root, bigName(1)), 0o600) })
			}},
		}},
		{Group: GroupCopyUp, Quick: true, Fixture: FixtureDir, State: Fresh, Writes: true, Steps: []Step{
			{Name: "rename a directory", About: fmt.Sprintf("a directory of the image that holds %d files gets another name by mv", c.Sizes.Dir), Run: func(s *Site) (Sample, error) {
				return program(1, "mv", filepath.Join(s.Root, movedDir), filepath.Join(s.Root, "other"))
			}},
		}},
	}
}

func (c Choice) depthRows() []Row {
	var all []Row
	for _, d := range c.Depths {
		layers := fmt.Sprintf("%d layers", d)
		if d == 1 {
			layers = "1 layer"
		}
		all = append(all, Row{Group: GroupDepth, Quick: true, Depth: d, Fixture: Deep(d), State: Fresh, Anew: true, Steps: []Step{
			{Name: "mount, " + layers, Series: "mount", About: "making and mounting a container of so many layers, without the start of cfs's own process", Run: func(s *Site) (Sample, error) { return Sample{s.Mounted, 1}, nil }},
			{Name: "first look-up, " + layers, Series: "first look-up", About: "one name, the first after mounting", Run: func(s *Site) (Sample, error) {
				return timed(1, func() error { return lookedInto(s) })
			}},
			{Name: "look-ups, " + layers, Series: "look-ups", About: fmt.Sprintf("%d names that are there, and as many that are not, in one directory of all layers", c.Sizes.Flat), Run: lookUps},
		}})
	}
	return all
}

// changedFiles is how many files of each kind of change there are before a commit.
const changedFiles = 100

func (c Choice) commitRows() []Row {
	return []Row{{
		Group: GroupCommit, Fixture: FixtureMany, State: Fresh, Writes: true, Drivers: true,
		Prepare: func(s *Site) error {
			for i := range changedFiles {
				old := func(n int) string { return filepath.Join(s.Root, manyDir, fmt.Sprintf("file%05d", n)) }
				err := errors.Join(os.WriteFile(old(i), []byte("changed\n"), 0o644), os.Remove(old(i+changedFiles)),
					writeFile(filepath.Join(s.Root, manyDir, fmt.Sprintf("new%05d", i)), 4*page, false))
				if err != nil {
					return err
				}
			}
			return nil
		},
		Steps: []Step{
			{Name: "diff", About: fmt.Sprintf("the list of what a container changed: %d files each changed, new and removed, of %d", changedFiles, c.Sizes.Many), Run: func(s *Site) (Sample, error) {
				return onSnapshot(s, func(d *Served) (int, error) { return d.changes() })
			}},
			{Name: "commit", About: "the same as a layer, compressed by gzip, written to nowhere", Run: func(s *Site) (Sample, error) {
				return onSnapshot(s, func(d *Served) (int, error) { return d.layer(io.Discard, layerpack.Gzip) })
			}},
		},
	}}
}

func onSnapshot(s *Site, do func(*Served) (int, error)) (Sample, error) {
	d, ok := s.Contestant.(*Served)
	if !ok {
		return Sample{}, fmt.Errorf("%s keeps no changes that could be listed", s.Contestant.Name())
	}
	start := time.Now()
	n, err := do(d)
	took := time.Since(start)
	if err == nil && n < 3*changedFiles {
		err = fmt.Errorf("%d changes were found, there are %d", n, 3*changedFiles)
	}
	return Sample{took, n}, err
}

// Matching are those of rows that are in one of the groups.
func Matching(rows []Row, groups []string, quick bool) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool {
		return !slices.Contains(groups, r.Group) || quick && !r.Quick
	})
}
