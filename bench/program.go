package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
)

// Flags are those that every benchmark program has.
type Flags struct {
	Runs   int    // measured rounds
	JSON   string // file that the report is written to as well; may be empty
	Ground string // see [NewGround]
}

// Register makes them flags of the command line.
func (f *Flags) Register() {
	flag.IntVar(&f.Runs, "runs", 7, "measured rounds")
	flag.StringVar(&f.Ground, "ground", "", "directory that holds the filesystem everything is on (default: memory)")
	flag.StringVar(&f.JSON, "json", "", "also write the report to this file")
}

// OnGround has a program measure on a fresh ground, which it removes, and fills in what a
// report says of it.
func (f *Flags) OnGround(ctx context.Context, name string, do func(*Ground, *Report) error) (err error) {
	g, err := NewGround(ctx, f.Ground)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	r := &Report{Name: name, Conditions: Here()}
	r.Conditions.Filesystem, r.Conditions.Rounds = g.Describe(), f.Runs
	return do(g, r)
}

// ErrMissed is how a benchmark ends that missed a target.
var ErrMissed = errors.New("a target was missed")

// Publish prints a report, with each result as a ratio to one contestant's, and writes
// it where the flags say. It fails with ErrMissed if a target was missed.
func (f *Flags) Publish(r *Report, against string) error {
	if err := r.Write(os.Stdout, against); err != nil {
		return err
	}
	return f.finish(r)
}

func (f *Flags) finish(r *Report) error {
	if f.JSON != "" {
		if err := r.WriteJSON(f.JSON); err != nil {
			return err
		}
	}
	if !r.Met() {
		return ErrMissed
	}
	return nil
}

// PublishRows is Publish of what was measured by rows, each with its target and what
// the kernel asked of the contestant that is judged.
func (f *Flags) PublishRows(b *Bench, judged string) error {
	var names []string
	for _, c := range b.Contestants {
		names = append(names, c.Name())
	}
	if err := b.Report.WriteRows(os.Stdout, judged, names...); err != nil {
		return err
	}
	return f.finish(b.Report)
}

// Main reads the command line and runs a benchmark program in a mount namespace
// of its own. The status is 1 when it fails, or missed a target.
func Main(name string, run func(context.Context) error) {
	flag.Parse()
	ctx, stop, err := Isolate()
	if err == nil {
		err = run(ctx)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}
