package imagecmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/docker/go-units"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/progress"
)

// FsckOptions says what Fsck does.
type FsckOptions struct {
	Repair bool // mend what can be mended; see [store.CheckOptions]
	Quiet  bool // print faults only
	// Talk is where progress is shown if it is a terminal; may be nil.
	Talk io.Writer
}

// Fsck checks the store and prints every fault, with whose it is, what is wrong
// and what was or can be done, then a line with the counts. whole says that
// nothing is damaged any more.
func Fsck(ctx context.Context, st *store.Store, o FsckOptions, out io.Writer) (whole bool, err error) {
	style := progress.StyleFor(o.Talk, o.Quiet)
	if style == progress.Lines {
		style = progress.Quiet
	}
	group := progress.New(o.Talk, style)
	item := group.Item("fsck")
	var faults []store.Fault // printed below the bar
	sum, err := st.Check(ctx, store.CheckOptions{
		Repair:   o.Repair,
		Report:   func(f store.Fault) { faults = append(faults, f) },
		Progress: func(done, total int64) { item.State("Checking", done, total) },
	})
	if err == nil && style == progress.Bars {
		item.Done("Complete")
	}
	group.Close()
	for _, f := range faults {
		printFault(out, f)
	}
	if err == nil && !o.Quiet {
		fmt.Fprintln(out, checkedLine(sum, o.Repair))
	}
	return sum.Faults == sum.Repaired, err
}

// printFault is a line for the object, one for each thing that is wrong with it,
// and one for what is to be done.
func printFault(out io.Writer, f store.Fault) {
	whose := ""
	if len(f.Images) > 0 && !strings.HasPrefix(f.Object, "image ") {
		whose = " of " + strings.Join(f.Images, ", ")
	}
	fmt.Fprintf(out, "%s%s:\n", f.Object, whose)
	for _, h := range f.Hits {
		if h.Path != "" {
			fmt.Fprintf(out, "  %s: %s\n", printable(h.Path), h.Reason)
		} else {
			fmt.Fprintf(out, "  %s\n", h.Reason)
		}
	}
	fmt.Fprintf(out, "  => %s\n", f.Advice)
}

// printable is a path as it is, or quoted where it could harm a terminal.
func printable(path string) string {
	if q := fmt.Sprintf("%q", path); q != `"`+path+`"` {
		return q
	}
	return path
}

func checkedLine(s store.Checked, repair bool) string {
	line := fmt.Sprintf("checked %s, %s, %s, %s, %s: ", count(s.Images, "image"), count(s.Blobs, "blob"),
		count(s.Layers, "layer"), count(s.Indexes, "index"), units.HumanSize(float64(s.Bytes)))
	switch left := s.Faults - s.Repaired; {
	case s.Faults == 0:
		line += "no damage"
	case !repair:
		line += fmt.Sprintf("%d damaged", s.Faults)
	case left == 0:
		line += fmt.Sprintf("%d damaged, all repaired", s.Faults)
	default:
		line += fmt.Sprintf("%d damaged, %d repaired, %d not", s.Faults, s.Repaired, left)
	}
	if s.Leftovers > 0 {
		done := "the next command that writes removes"
		if repair {
			done = "removed"
		}
		line += fmt.Sprintf("; %s %s of commands that were killed", done, count(s.Leftovers, "leftover"))
	}
	return line
}

func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun == "index":
		return fmt.Sprintf("%d indexes", n)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
