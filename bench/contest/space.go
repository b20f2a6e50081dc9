package contest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cfs-project/cfs/bench"
)

// The lines of the disk.
const (
	imageSpace     = "disk of an image"
	containerSpace = "disk of a container"
)

// spaceHome is the store, below a driver's, in which only one image is extracted.
const spaceHome = "space"

// What a container changes before its disk is looked at.
const (
	spaceNew     = 100 // files of 4 KiB
	spaceChanged = 10  // files of the image that a byte is written to
)

// spaceLines are what space looks at.
func spaceLines() []bench.Line {
	return []bench.Line{
		{Name: imageSpace, Group: bench.GroupSpace, State: bench.Warm.String(), Unit: bench.UnitBytes, About: "its layers as they are kept, and what the driver extracts of them"},
		{Name: containerSpace, Group: bench.GroupSpace, State: bench.Warm.String(), Unit: bench.UnitBytes, About: fmt.Sprintf("that made %d files of 4 KiB and changed %d of the image", spaceNew, spaceChanged)},
	}
}

// space looks at what an image and a container take on the disk.
func (s *session) space(ctx context.Context) error {
	fixture, err := s.fixtures.Get(ctx, bench.FixtureTree)
	if err != nil {
		return err
	}
	if fixture.Paths.All == nil {
		if fixture.Paths, err = bench.ListPaths(fixture.Merged); err != nil {
			return err
		}
	}
	images, containers := map[string]bench.Samples{}, map[string]bench.Samples{}
	var order []string
	for _, e := range s.field.all {
		if !e.Usable || e.make == nil {
			continue
		}
		order = append(order, e.Name)
		image, container, err := s.spaceOf(ctx, e, fixture)
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil {
			for _, line := range []string{imageSpace, containerSpace} {
				s.report.Skipped = append(s.report.Skipped, bench.Skip{Workload: line, Contestant: e.Name, Reason: oneLine(err)})
			}
			continue
		}
		images[e.Name] = bench.Samples{time.Duration(image)}
		if !e.ViewsOnly {
			containers[e.Name] = bench.Samples{time.Duration(container)}
		}
	}
	s.report.AddUnit(imageSpace, bench.UnitBytes, 0, images, order...)
	s.report.AddUnit(containerSpace, bench.UnitBytes, 0, containers, order...)
	return nil
}

// spaceOf is what an entrant takes for the fixture and for a container on it, in bytes.
func (s *session) spaceOf(ctx context.Context, e entrant, f bench.Fixture) (image, container int64, err error) {
	var cs [2]bench.Contestant
	for i := range cs {
		if cs[i], err = e.make(i); err != nil {
			return 0, 0, err
		}
		if d, ok := cs[i].(*bench.Served); ok { // what it extracts is this image alone
			d.Home = filepath.Join(d.Home, spaceHome)
			d.Dir = filepath.Join(d.Home, "changes-"+e.Name, filepath.Base(d.Dir))
			if err := os.MkdirAll(d.Home, 0o755); err != nil {
				return 0, 0, err
			}
		}
		if err := cs[i].Over(f, true); err != nil {
			return 0, 0, err
		}
	}
	var used [3]int64
	for i := range used {
		if i > 0 {
			c := cs[i-1]
			if err := changeSome(ctx, c, f, e.ViewsOnly); err != nil {
				return 0, 0, errors.Join(err, c.Discard())
			}
			defer func() { err = errors.Join(err, c.Discard()) }()
		}
		if used[i], err = cs[0].(bench.Spacer).Used(); err != nil {
			return 0, 0, err
		}
	}
	container = max(0, used[2]-used[1])
	image = max(0, used[1]-used[0]-container)
	kept := f.Lowers
	switch e.Kind {
	case bench.Limit:
		kept = []string{f.Merged}
	case bench.Driver:
		kept = []string{f.Chain.Index}
		for _, l := range f.Chain.Layers {
			kept = append(kept, l.Dir)
		}
	}
	below, err := bench.DiskUsage(kept...)
	return image + below, container, err
}

// changeSome mounts a contestant and changes a little.
func changeSome(ctx context.Context, c bench.Contestant, f bench.Fixture, views bool) error {
	root, err := c.Mount(ctx)
	if err != nil {
		return err
	}
	if !views {
		err = change(root, f)
	}
	return errors.Join(err, c.Unmount())
}

func change(root string, f bench.Fixture) error {
	data := make([]byte, 4096)
	for i := range spaceNew {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("new%03d", i)), data, 0o644); err != nil {
			return err
		}
	}
	for i := range min(spaceChanged, len(f.Paths.Files)) {
		name := strings.TrimRight(string(f.Paths.Files[i*len(f.Paths.Files)/spaceChanged]), "\x00")
		file, err := os.OpenFile(filepath.Join(root, name), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString("x")
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}
