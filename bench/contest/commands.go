package contest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/imagecmd/hello"
)

// The lines that are measured by whole commands.
const (
	startLine = "start a container"
	readyLine = "load an image and start"
)

const imageName = "cfs-bench:latest"

// commands measures what a person waits for: whole commands.
func (s *session) commands(ctx context.Context) (err error) {
	if !s.o.has(bench.GroupStart) {
		return nil
	}
	defer func() { // what sub-uids own of it would be hard to remove later
		for _, e := range s.field.all {
			if kept := keptStore(e); e.home != "" && exists(kept) {
				err = errors.Join(err, emptyStore(kept))
			}
		}
	}()
	var starts, readies []bench.Job
	start := bench.Line{Name: startLine, Group: bench.GroupStart, State: bench.Warm.String(),
		About: "a program that prints a page, by cfs run --rm, on the same tree as the other lines of this size; by podman run likewise"}
	err = s.step([]bench.Line{start}, func(r bench.Rounds) (err error) {
		if starts, readies, err = s.jobs(ctx); err != nil {
			return err
		}
		return s.compare(ctx, startLine, r, starts)
	})
	if err != nil || s.o.Quick || len(readies) == 0 {
		return err
	}
	ready := bench.Line{Name: readyLine, Group: bench.GroupStart, State: bench.Warm.String(),
		About: "an archive is loaded into an empty store by cfs load, then run for the first time; by podman load and run likewise"}
	return s.step([]bench.Line{ready}, func(r bench.Rounds) error { return s.compare(ctx, readyLine, r, readies) })
}

// keptStore is the store that a driver's containers are started from.
func keptStore(e entrant) string { return filepath.Join(e.home, "store") }

// jobs are the starts of containers, and those with loading the image before.
func (s *session) jobs(ctx context.Context) (starts, readies []bench.Job, err error) {
	archive, err := s.archive(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range s.field.all {
		if e.Kind != bench.Driver || !e.Usable || e.ViewsOnly {
			continue
		}
		kept, fresh := keptStore(e), filepath.Join(e.home, "fresh")
		if !exists(kept) {
			if _, err := bench.Timed(ctx, bench.Self, "--root", kept, "load", "-q", "-i", archive); err != nil {
				return nil, nil, err
			}
		}
		run := func(ctx context.Context, store string) (time.Duration, error) {
			return bench.Timed(ctx, bench.Self, "--root", store, "run", "--rm", "--network", "none", "--driver", e.Name, imageName)
		}
		starts = append(starts, bench.Job{Contestant: e.Name, Run: func(ctx context.Context) (time.Duration, error) { return run(ctx, kept) }})
		readies = append(readies, bench.Job{Contestant: e.Name, Run: func(ctx context.Context) (time.Duration, error) {
			load, err := bench.Timed(ctx, bench.Self, "--root", fresh, "load", "-q", "-i", archive)
			var start time.Duration
			if err == nil {
				start, err = run(ctx, fresh)
			}
			return load + start, errors.Join(err, emptyStore(fresh))
		}})
	}
	starts, readies = s.podman(ctx, archive, starts, readies)
	return starts, readies, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// archive makes the image that is started.
func (s *session) archive(ctx context.Context) (string, error) {
	made := bench.NewFixtures(filepath.Join(s.dir, "image"), s.fixtures.Sizes)
	made.Packed = true
	f, err := made.Get(ctx, bench.FixtureTree)
	if err != nil {
		return "", err
	}
	self, err := os.Open(bench.Self)
	if err != nil {
		return "", err
	}
	defer self.Close()
	program, err := os.OpenFile(filepath.Join(f.Merged, hello.Name), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(program, self)
	if err := errors.Join(err, program.Close()); err != nil {
		return "", err
	}
	layer, archive := filepath.Join(s.dir, "image.layer.tar"), filepath.Join(s.dir, "image.tar")
	out, err := os.Create(layer)
	if err != nil {
		return "", err
	}
	if err := errors.Join(bench.WriteDir(ctx, out, s.dir, f.Merged), out.Close()); err != nil {
		return "", err
	}
	store := filepath.Join(s.dir, "made")
	for _, args := range [][]string{
		{"import", "-c", `CMD ["/` + hello.Name + `"]`, layer, imageName}, {"save", "-o", archive, imageName},
	} {
		if _, err := bench.Timed(ctx, bench.Self, append([]string{"--root", store}, args...)...); err != nil {
			return "", err
		}
	}
	return archive, errors.Join(os.Remove(layer), os.RemoveAll(store), os.RemoveAll(filepath.Join(s.dir, "image")))
}

// emptyStore takes a store away. What sub-uids own of it goes with its image.
func emptyStore(store string) error {
	_, err := bench.Timed(context.Background(), bench.Self, "--root", store, "rmi", "-f", imageName)
	return errors.Join(err, os.RemoveAll(store))
}

// podman adds podman with its drivers.
func (s *session) podman(ctx context.Context, archive string, starts, readies []bench.Job) (_, _ []bench.Job) {
	path, err := exec.LookPath("podman")
	if err != nil || s.o.Quick { // it takes its time
		return starts, readies
	}
	about := version(ctx, path, "--version")
	for _, driver := range []string{"overlay", "vfs"} {
		e := entrant{Entrant: bench.Entrant{Name: "podman " + driver, Kind: bench.Peer, Version: about, Usable: true}}
		if !initialNamespace() {
			e.Usable, e.Reason = false, "for an ordinary user it leaves a process behind, which the benchmark must not"
			s.field.add(e)
			continue
		}
		// What it keeps at run time has to have a short path (it refuses more than 50 bytes).
		short, err := os.MkdirTemp("", "cfs-bench-")
		if err != nil {
			e.Usable, e.Reason = false, oneLine(err)
			s.field.add(e)
			continue
		}
		s.field.temps = append(s.field.temps, short)
		kept := bench.Podman{Dir: filepath.Join(s.dir, "podman-"+driver), Run: filepath.Join(short, "kept"), Driver: driver}
		fresh := bench.Podman{Dir: filepath.Join(s.dir, "podman-fresh-"+driver), Run: filepath.Join(short, "fresh"), Driver: driver}
		run := func(ctx context.Context, p bench.Podman) (time.Duration, error) {
			// Limits that it may set anywhere; its own default is more than some hosts allow.
			return p.Timed(ctx, "run", "--rm", "--network", "none", "--pull", "never", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", imageName)
		}
		if err := bench.HideSecondHierarchy(); err != nil {
			e.Usable, e.Reason = false, oneLine(err)
		} else if _, err := kept.Timed(ctx, "load", "-q", "-i", archive); err != nil {
			e.Usable, e.Reason = false, oneLine(err)
		} else if _, err := run(ctx, kept); err != nil {
			e.Usable, e.Reason = false, oneLine(err)
		}
		s.field.add(e)
		if !e.Usable {
			continue
		}
		s.field.podmans = append(s.field.podmans, kept)
		starts = append(starts, bench.Job{Contestant: e.Name, Run: func(ctx context.Context) (time.Duration, error) { return run(ctx, kept) }})
		readies = append(readies, bench.Job{Contestant: e.Name, Run: func(ctx context.Context) (time.Duration, error) {
			load, err := fresh.Timed(ctx, "load", "-q", "-i", archive)
			var start time.Duration
			if err == nil {
				start, err = run(ctx, fresh)
			}
			return load + start, errors.Join(err, fresh.Remove())
		}})
	}
	return starts, readies
}

// compare measures jobs. One that fails is left out.
func (s *session) compare(ctx context.Context, line string, r bench.Rounds, jobs []bench.Job) error {
	var good []bench.Job
	var order []string
	r.Between() // the unmeasured round
	for _, j := range jobs {
		if _, err := j.Run(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.report.Skipped = append(s.report.Skipped, bench.Skip{Workload: line, Contestant: j.Contestant, Reason: oneLine(err)})
			continue
		}
		good, order = append(good, j), append(order, j.Contestant)
	}
	samples, err := r.Compare(ctx, good...)
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	s.report.Add(line, 1, samples, order...)
	return nil
}
