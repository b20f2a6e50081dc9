package suites

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/drivers/graphtest"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/idtools"

	"github.com/cfs-project/cfs/cow"
)

// graph is a stack as a graph driver of containers/storage. What its interface has
// beyond trees, their mounts and their changes, and the suite doesn't call, panics.
type graph struct {
	graphdriver.Driver
	stack *stack
	below map[string]string // what a tree was made on: its parent, or its template
}

func (g *graph) String() string { return g.stack.drv.Name() }

func (g *graph) Create(id, parent string, _ *graphdriver.CreateOpts) error {
	g.below[id] = parent
	if err := g.stack.create(context.Background(), id, parent, false); err != nil || parent != "" {
		return err
	}
	at, err := g.Get(id, graphdriver.MountOpts{})
	if err != nil {
		return err
	}
	return errors.Join(os.Chmod(at, emptyPerms), g.Put(id))
}

// emptyPerms are the permissions of an empty tree's root in containers/storage.
const emptyPerms = 0o555

func (g *graph) CreateReadWrite(id, parent string, o *graphdriver.CreateOpts) error {
	return g.Create(id, parent, o)
}

func (g *graph) CreateFromTemplate(
	id, template string, _ *idtools.IDMappings, _ string, _ *idtools.IDMappings, _ *graphdriver.CreateOpts, _ bool,
) error {
	g.below[id] = template
	return g.stack.create(context.Background(), id, template, false)
}

func (g *graph) Remove(id string) error {
	delete(g.below, id)
	g.stack.remove(context.Background(), id)
	return nil
}

func (g *graph) Get(id string, _ graphdriver.MountOpts) (string, error) {
	return g.stack.attach(context.Background(), id)
}

func (g *graph) Put(id string) error { return g.stack.detach(id) }

func (g *graph) Exists(id string) bool { return g.stack.tree(id) != nil }

func (g *graph) ListLayers() ([]string, error) { return g.stack.names(), nil }

func (g *graph) Cleanup() error { return g.stack.close(context.Background()) }

// errDistant is the answer for trees that aren't one's change of the other.
var errDistant = errors.New("the driver knows what a tree has changed on what it stands on, and nothing else")

func (g *graph) Diff(id string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings, _ string) (io.ReadCloser, error) {
	if t := g.stack.tree(id); t != nil && g.below[id] == parent {
		return g.stack.diff(context.Background(), t), nil
	}
	return nil, errDistant
}

func (g *graph) Changes(id string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings, _ string) ([]archive.Change, error) {
	t := g.stack.tree(id)
	if t == nil {
		return nil, errDistant
	}
	kinds := map[cow.Kind]archive.ChangeType{cow.Added: archive.ChangeAdd, cow.Changed: archive.ChangeModify, cow.Deleted: archive.ChangeDelete}
	out := []archive.Change{}
	for c, err := range g.stack.drv.Changes(context.Background(), t.snap) {
		if err != nil {
			return nil, err
		}
		if c.Path != "/" { // the suite leaves the root out
			out = append(out, archive.Change{Path: c.Path, Kind: kinds[c.Kind]})
		}
	}
	if below := g.below[id]; below != parent {
		if len(out) > 0 || below == "" {
			return nil, errDistant
		}
		return g.Changes(below, nil, parent, nil, "") // it is a copy of its template
	}
	return out, nil
}

// ApplyDiff makes the archive the tree's layer.
func (g *graph) ApplyDiff(id string, o graphdriver.ApplyDiffOpts) (int64, error) {
	return g.stack.apply(context.Background(), id, o.Diff)
}

// DiffSize is what the files of the whole tree hold, which is what the suite asks for.
func (g *graph) DiffSize(id string, _ *idtools.IDMappings, parent string, _ *idtools.IDMappings, _ string) (int64, error) {
	if parent != "" {
		return 0, errors.New("the size of a change is not a driver's to know")
	}
	at, err := g.Get(id, graphdriver.MountOpts{})
	if err != nil {
		return 0, err
	}
	n, _, err := size(at)
	return n, errors.Join(err, g.Put(id))
}

func TestGraphDriver(t *testing.T) {
	for _, name := range driversToTest {
		t.Run(name, func(t *testing.T) {
			at := ground(t, name)
			driver := "cfs-" + name
			err := graphdriver.Register(driver, func(home string, _ graphdriver.Options) (graphdriver.Driver, error) {
				st, err := newStack(filepath.Join(at, "home"), newDriver(t, name, filepath.Join(at, "home", "drivers")))
				return &graph{stack: st, below: map[string]string{}}, err
			})
			if err != nil {
				t.Fatal(err)
			}
			// The suite hands one driver from test to test.
			graphtest.GetDriverNoCleanup(t, driver)
			for what, test := range map[string]func(t *testing.T){
				"CreateEmpty":        func(t *testing.T) { graphtest.DriverTestCreateEmpty(t, driver) },
				"CreateBase":         func(t *testing.T) { graphtest.DriverTestCreateBase(t, driver) },
				"CreateSnap":         func(t *testing.T) { graphtest.DriverTestCreateSnap(t, driver) },
				"CreateFromTemplate": func(t *testing.T) { graphtest.DriverTestCreateFromTemplate(t, driver) },
				"DeepLayerRead":      func(t *testing.T) { graphtest.DriverTestDeepLayerRead(t, 128, driver) },
				"DiffApply":          func(t *testing.T) { graphtest.DriverTestDiffApply(t, 100, driver) },
				"Changes":            func(t *testing.T) { graphtest.DriverTestChanges(t, driver) },
				"Echo":               func(t *testing.T) { graphtest.DriverTestEcho(t, driver) },
				"ListLayers":         func(t *testing.T) { graphtest.DriverTestListLayers(t, driver) },
			} {
				t.Run(what, test)
			}
			graphtest.PutDriver(t)
		})
	}
}
