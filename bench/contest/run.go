package contest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// Run compares the drivers and judges them. Nothing of it is left when it returns,
// also when a signal interrupts it, which is an error.
func Run(ctx context.Context, o Options) (_ *bench.Report, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	mapping, problems := userns.Detect()
	for _, p := range problems {
		if p.Fatal {
			return nil, hint.With(p, p.Hint)
		}
	}
	began := time.Now()
	j := job{Options: o, Commands: mapping.Privileged(), Began: began}
	if o.Progress != nil {
		j.Style = progress.StyleFor(o.Progress, false)
	}
	if o.Tree != "" {
		if j.Options.Tree, err = filepath.Abs(o.Tree); err != nil {
			return nil, err
		}
		if fi, err := os.Stat(o.Tree); err != nil {
			return nil, err
		} else if !fi.IsDir() {
			return nil, fmt.Errorf("%s is no directory", o.Tree)
		}
	}
	if o.Image != "" {
		var release func()
		if j.Chain, release, err = chainOf(ctx, o); err != nil {
			return nil, err
		}
		defer release()
	}
	p, err := newPlace(o.Root, mapping)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.remove()) }()
	j.Dir = p.dir
	var commands *bench.Report
	if !j.Commands {
		if commands, err = j.commands(ctx); err != nil {
			return nil, err
		}
	}
	r, err := j.start(ctx, mapping)
	if err != nil {
		return nil, err
	}
	r.Name = "cfs bench"
	if commands != nil {
		r.Workloads = append(commands.Workloads, r.Workloads...)
		r.Append(commands)
		for _, e := range commands.Contestants {
			if !slices.ContainsFunc(r.Contestants, func(x bench.Entrant) bool { return x.Name == e.Name }) {
				r.Contestants = append(r.Contestants, e)
			}
		}
	}
	groups := bench.Groups()
	slices.SortStableFunc(r.Workloads, func(a, b bench.Line) int { return slices.Index(groups, a.Group) - slices.Index(groups, b.Group) })
	r.Conditions.User, r.Conditions.Seconds = user(mapping), since(began)
	began = began.UTC().Truncate(time.Second)
	r.Conditions.Started = &began
	Judge(r)
	return r, nil
}

// chainOf is the chain of the image that is asked for.
func chainOf(ctx context.Context, o Options) (cow.Chain, func(), error) {
	st, err := store.Open(o.Root, store.Options{})
	if err != nil {
		return cow.Chain{}, nil, err
	}
	var img store.Image
	if imagecmd.IsHello(o.Image) {
		img, err = imagecmd.Hello(ctx, st)
	} else {
		img, err = st.Resolve(ctx, o.Image)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = hint.With(err, "cfs images lists what is there; without --image a tree is made")
	}
	if err != nil {
		return cow.Chain{}, nil, err
	}
	return st.Chain(ctx, img)
}

// commands measures whole commands in this process, as an ordinary user types them.
func (j *job) commands(ctx context.Context) (_ *bench.Report, err error) {
	dir := filepath.Join(j.Dir, "commands")
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, err
	}
	s, err := newCommandSession(ctx, j, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.show.begin(&s.plan, s.contestants()+s.beside)
	if err := s.commands(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return nil, err
	}
	for _, e := range s.field.all {
		if e.Kind == bench.Peer {
			s.report.Contestants = append(s.report.Contestants, e.Entrant)
		}
	}
	return s.report, nil
}

// start has the worker do its part.
func (j *job) start(ctx context.Context, m userns.Mapping) (*bench.Report, error) {
	payload, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	out, err := os.CreateTemp(j.Dir, "answer-")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if err := os.Remove(out.Name()); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	w, err := stage.Start(m, workStage, payload, stage.Stdio{Out: out, Err: os.Stderr})
	if err != nil {
		return nil, err
	}
	if _, err := w.Attend(); err != nil {
		return nil, err
	}
	var a answer
	if _, err := out.Seek(0, 0); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(out).Decode(&a); err != nil {
		return nil, fmt.Errorf("the benchmark's worker died: %w", err)
	}
	if a.Error != "" {
		return nil, hint.With(errors.New(strings.TrimSpace(a.Error)), a.Hint)
	}
	return a.Report, nil
}
