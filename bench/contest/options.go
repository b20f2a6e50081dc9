package contest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/imagecmd"
)

// Options is what `cfs bench` was asked for.
type Options struct {
	Root     string        // of the store
	Drivers  []string      // names; none: all
	Image    string        // whose tree is read, instead of one that is made
	Tree     string        // or this directory's
	Groups   []string      // of workloads; none: all
	Quick    bool          // a choice of each group's rows, in two minutes
	Depths   []int         // layers
	Size     string        // see sizeOf
	Runs     int           // rounds, at most
	Time     time.Duration // that all is to take; negative: as long as it takes
	NoCold   bool          // leave the kernel's caches alone
	Version  string        // of cfs
	Progress io.Writer     `json:"-"` // where progress is shown; nil: nowhere
}

// maxDepth is how many layers a stack may have. The kernel's overlay takes 500
// (OVL_MAX_STACK).
const maxDepth = 400

// maxRuns is how many rounds there may be.
const maxRuns = 1000

// sizeOf is how much there is to do, by a name; false if there is no such.
func sizeOf(name string) (bench.Sizes, bool) {
	switch name {
	case "tiny":
		return bench.Sizes{Tree: 60, Many: 320, Big: 2 << 20, Bigs: 2, Mids: 1, Dir: 20, Flat: 60, Random: 32}, true
	case "small":
		return bench.Sizes{Tree: 1500, Many: 1000, Big: 16 << 20, Bigs: 2, Mids: 4, Dir: 300, Flat: 400, Random: 2048}, true
	case "medium":
		return bench.Sizes{Tree: 6000, Many: 4000, Big: 96 << 20, Bigs: 2, Mids: 8, Dir: 1000, Flat: 1000, Random: 8192}, true
	case "large":
		return bench.Sizes{Tree: 22600, Many: 20000, Big: 1 << 30, Bigs: 2, Mids: 16, Dir: 5000, Flat: 4000, Random: 16384}, true
	}
	return bench.Sizes{}, false
}

// least is how many rounds there are, if time allows, so that a median has an interval.
const least = 6

// The default numbers of rounds and of layers.
const (
	defaultRuns = 25
	quickRuns   = 9
)

// Check refuses what can't be, and fills in what was not said.
func (o *Options) Check() error {
	if o.Image != "" && o.Tree != "" {
		return errors.New("there is one tree: say an image or a directory")
	}
	if o.Size == "" {
		o.Size = "medium"
		if o.Quick {
			o.Size = "small"
		}
	}
	if _, ok := sizeOf(o.Size); !ok {
		return fmt.Errorf("%q is no size: there are tiny, small, medium and large", o.Size)
	}
	all := bench.Groups()
	for _, g := range o.Groups {
		if !slices.Contains(all, g) {
			return fmt.Errorf("%q is no kind of workload: there are %s, and all and quick", g, strings.Join(all, ", "))
		}
	}
	if len(o.Groups) == 0 {
		o.Groups = all
	}
	if len(o.Depths) == 0 {
		o.Depths = []int{1, 10, 50, 100}
		if o.Quick {
			o.Depths = []int{1, 50}
		}
	}
	slices.Sort(o.Depths)
	o.Depths = slices.Compact(o.Depths)
	for _, d := range o.Depths {
		if d < 1 || d > maxDepth {
			return fmt.Errorf("%d is no number of layers: from 1 to %d", d, maxDepth)
		}
	}
	if o.Runs == 0 {
		o.Runs = defaultRuns
		if o.Quick {
			o.Runs = quickRuns
		}
	}
	if o.Runs < 1 || o.Runs > maxRuns {
		return fmt.Errorf("%d is no number of rounds: from 1 to %d", o.Runs, maxRuns)
	}
	if o.Time == 0 {
		switch {
		case o.Size == "large":
			o.Time = -1
		case o.Quick:
			o.Time = quickTime
		default:
			o.Time = defaultTime
		}
	}
	if o.Time > 0 && o.Time < leastTime {
		return fmt.Errorf("%v is too little time: from %v", o.Time, leastTime)
	}
	var names []string
	for _, d := range imagecmd.Drivers(o.Root, nil) {
		names = append(names, d.Name())
	}
	for _, d := range o.Drivers {
		if !slices.Contains(names, d) {
			return fmt.Errorf("unknown driver %q (there are: %s)", d, strings.Join(names, ", "))
		}
	}
	return nil
}

// wants tells whether a driver is to be measured.
func (o *Options) wants(driver string) bool {
	return len(o.Drivers) == 0 || slices.Contains(o.Drivers, driver)
}

// has tells whether a group of workloads is.
func (o *Options) has(group string) bool { return slices.Contains(o.Groups, group) }

// The times that are kept to, where nothing else was said: a large one takes its time.
const (
	defaultTime = 12 * time.Minute
	quickTime   = 100 * time.Second
)

// leastTime is what any host does something in.
const leastTime = 10 * time.Second
