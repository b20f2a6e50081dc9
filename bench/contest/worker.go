package contest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/runtime/stage"
)

// workStage is argv[0] of the worker.
const workStage = "cfs-bench-work"

// Stages are the processes that this program starts itself as for a benchmark.
func Stages() stage.Table { return stage.Table{workStage: workMain, removeStage: removeMain} }

// A job is what the worker is to do.
type job struct {
	Options  Options
	Dir      string // of the place
	Chain    cow.Chain
	Commands bool // measure whole commands, too
	Style    progress.Style
	Began    time.Time
}

// An answer is what the worker found.
type answer struct {
	Report      *bench.Report
	Error, Hint string `json:",omitempty"`
}

func workMain(l *stage.Link, payload []byte) int {
	ctx, stop := l.Interruptible()
	defer stop()
	var j job
	var a answer
	err := json.Unmarshal(payload, &j)
	if err == nil {
		// What is mounted here is seen by nobody else; what others unmount goes here, too.
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
	}
	if err == nil {
		a.Report, err = j.work(ctx, nil)
		// It is removed here, as what sub-uids own its user can't remove, and also when the
		// process that started this one was killed. Its lock is that process's.
		err = errors.Join(err, emptyDir(j.Dir))
		if errors.Is(context.Cause(l.Context()), stage.ErrParentGone) {
			_ = os.Remove(j.Dir)
			_ = os.Remove(filepath.Dir(j.Dir)) // if no other benchmark runs
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		a = answer{Error: err.Error(), Hint: hint.Of(err)}
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 1
	}
	return 0
}

// work is the worker's part.
func (j *job) work(ctx context.Context, change func(bench.Row) bench.Row) (_ *bench.Report, err error) {
	s, err := newSession(ctx, &j.Options, j.Dir, j.Chain, j.Style, j.Began)
	if err != nil {
		return nil, err
	}
	s.change = change
	defer func() { err = errors.Join(err, s.close()) }()
	if j.Commands {
		s.show.begin(&s.plan, s.contestants())
		if err := s.commands(ctx); err != nil {
			return nil, err
		}
	} else {
		s.plan.next = len(commandSteps(s.o, s.fixtures.Sizes, 0)) // another process did them
	}
	if err := s.measure(ctx); err != nil {
		return nil, err
	}
	n := s.listener.Noise()
	s.report.Conditions.Noise = &n
	for _, e := range s.field.all {
		s.report.Contestants = append(s.report.Contestants, e.Entrant)
	}
	return s.report, nil
}

// emptyDir removes what is in a directory.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(dir+"/"+e.Name()))
	}
	return err
}
