package contest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/runtime/userns"
)

// A session is one process's part of a benchmark.
type session struct {
	o        *Options
	dir      string // of the place
	chain    cow.Chain
	report   *bench.Report
	field    *field
	fixtures *bench.Fixtures
	choice   bench.Choice
	plan     plan
	listener *bench.Listener
	show     *show
	beside   int                       // contestants that another process measures, of which the plan has to know
	change   func(bench.Row) bench.Row // for tests; may be nil
}

// newSession begins. close it.
func newSession(ctx context.Context, o *Options, dir string, chain cow.Chain, style progress.Style, began time.Time) (_ *session, err error) {
	s := &session{o: o, dir: dir, chain: chain, report: &bench.Report{}, listener: bench.Listen(), show: newShow(os.Stderr, style)}
	if s.field, err = newField(ctx, dir, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.prepare(began)
	s.fixtures.Packed = true
	return s, nil
}

func (s *session) close() error {
	s.show.close()
	return s.field.close()
}

// measure does all that is done on mounted trees.
func (s *session) measure(ctx context.Context) error {
	if err := s.tree(ctx); err != nil {
		return err
	}
	if s.choice.Fio != "" {
		s.tool("fio", version(ctx, s.choice.Fio, "--version"))
	}
	b := &bench.Bench{Fixtures: s.fixtures, Report: s.report, Lenient: true, Skip: s.skip}
	for _, e := range s.field.all {
		if e.Usable && e.make != nil {
			c, err := e.make(0)
			if err != nil {
				return err
			}
			b.Contestants = append(b.Contestants, c)
		}
	}
	for _, row := range s.rows() {
		if s.change != nil {
			row = s.change(row)
		}
		err := s.step(row.Lines(), func(r bench.Rounds) error {
			b.Rounds = r
			return b.Measure(ctx, row)
		})
		if err != nil {
			return err
		}
	}
	if s.sharing() {
		if err := s.step(s.shareLines(), func(r bench.Rounds) error { return s.share(ctx, r) }); err != nil {
			return err
		}
	}
	if s.o.has(bench.GroupSpace) {
		if err := s.step(spaceLines(), func(bench.Rounds) error { return s.space(ctx) }); err != nil {
			return err
		}
	}
	s.describe()
	return nil
}

// rows are what is measured on mounted trees.
func (s *session) rows() []bench.Row {
	return bench.Matching(bench.DriverRows(s.choice), s.o.Groups, s.o.Quick)
}

// sharing tells whether several containers of one image are measured.
func (s *session) sharing() bool { return s.o.has(bench.GroupShare) && !s.o.Quick }

// prepare chooses what is measured, and plans all of it, also what another process
// measures.
func (s *session) prepare(began time.Time) {
	size, _ := sizeOf(s.o.Size) // checked
	s.fixtures = bench.NewFixtures(filepath.Join(s.dir, "fixtures"), size)
	s.choice = bench.Choice{Sizes: size, Depths: s.o.Depths, Drop: canDrop() && !s.o.NoCold}
	if path, err := exec.LookPath("fio"); err == nil {
		s.choice.Fio = path
	}
	s.plan = plan{most: s.o.Runs, least: least}
	if s.o.Time > 0 {
		s.plan.deadline = began.Add(time.Duration((1 - tidying) * float64(s.o.Time)))
		s.plan.grace = s.o.Time / 10
	}
	n := s.contestants()
	s.plan.steps = commandSteps(s.o, size, n)
	n += s.beside
	made := map[string]bool{}
	for _, row := range s.rows() {
		s.plan.steps = append(s.plan.steps, rowStep(row, size, n, made))
	}
	if s.sharing() {
		s.plan.steps = append(s.plan.steps, shareStep(size, n))
	}
	if s.o.has(bench.GroupSpace) {
		s.plan.steps = append(s.plan.steps, spaceStep(size, n))
	}
}

// contestants is how many are measured.
func (s *session) contestants() (n int) {
	for _, e := range s.field.all {
		if e.Usable {
			n++
		}
	}
	return n
}

// commandSteps are those that are measured by whole commands.
func commandSteps(o *Options, z bench.Sizes, contestants int) (all []step) {
	if o.has(bench.GroupStart) {
		all = append(all, startStep(z, contestants))
		if !o.Quick {
			all = append(all, readyStep(z, contestants))
		}
	}
	return all
}

// step does the next step of the plan, which has the lines; or leaves it out, if there is
// no time.
func (s *session) step(lines []bench.Line, do func(bench.Rounds) error) error {
	r, ok := s.plan.begin(time.Now())
	if !ok {
		var names []string
		for _, l := range lines {
			names = append(names, "“"+l.Name+"”")
		}
		s.report.Notes = append(s.report.Notes, fmt.Sprintf("%s: not measured, as there was no time for it within %v (--time)", strings.Join(names, ", "), s.o.Time))
		return nil
	}
	s.report.Workloads = append(s.report.Workloads, lines...)
	s.show.step(lines[0].Group, lines[0].Name, &s.plan)
	r.Between = func() {
		s.plan.round()
		s.listener.Spin()
	}
	err := do(r)
	s.plan.end(time.Now())
	return err
}

// tree puts the tree of an image, or a directory, in the place of what would be made.
func (s *session) tree(ctx context.Context) error {
	x := bench.Fixture{Name: bench.FixtureTree, Chain: s.chain}
	switch {
	case s.o.Tree != "":
		dir := filepath.Join(s.dir, "tree.packed")
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			x.Chain, err = bench.PackDirs(ctx, dir, s.o.Tree)
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", s.o.Tree, err)
		}
	case s.o.Image == "":
		return nil
	}
	x.Merged = filepath.Join(s.dir, "tree")
	if err := bench.Merge(ctx, x.Chain, x.Merged); err != nil {
		return err
	}
	x.Lowers = []string{x.Merged}
	s.fixtures.Put(x)
	return nil
}

// skip tells why a contestant doesn't take part in a row.
func (s *session) skip(c bench.Contestant, row bench.Row) string {
	i := slices.IndexFunc(s.field.all, func(e entrant) bool { return e.Name == c.Name() })
	switch e := s.field.all[i]; {
	case row.Drivers && e.Kind != bench.Driver:
		return "it has no list of what changed"
	case row.Writes && e.ViewsOnly:
		return "it shows images, read-only"
	}
	return ""
}

func (s *session) tool(name, version string) {
	c := &s.report.Conditions
	if c.Tools == nil {
		c.Tools = map[string]string{}
	}
	c.Tools[name] = version
}

// describe says under which conditions it was.
func (s *session) describe() {
	tools := s.report.Conditions.Tools
	c := bench.Here()
	c.Tools, c.Rounds, c.Version = tools, s.o.Runs, s.o.Version
	c.Filesystem = filesystem(s.dir)
	if f, err := s.fixtures.Get(context.Background(), bench.FixtureTree); err == nil && f.Paths.All != nil {
		c.Tree = f.Paths.String()
	} else {
		c.Tree = "made, of size " + s.o.Size
	}
	switch {
	case s.o.Image != "":
		c.Tree = "image " + s.o.Image + ": " + c.Tree
	case s.o.Tree != "":
		c.Tree = s.o.Tree + ": " + c.Tree
	}
	c.Cache = "warm: it ran once before; new mount: mounted anew, with what lies below it warm; cold: written out and the kernel's caches dropped before mounting"
	if !s.choice.Drop {
		why := "only root may drop the kernel's caches"
		if s.o.NoCold {
			why = "that was not wanted"
		}
		c.Cache = "warm: it ran once before; new mount: mounted anew, with what lies below it warm; nothing is cold, as " + why
	}
	s.report.Conditions = c
	for line, program := range bench.Missing() {
		if s.o.has(bench.GroupApps) && !s.o.Quick {
			s.report.Notes = append(s.report.Notes, fmt.Sprintf("%s is not measured: there is no %s", line, program))
		}
	}
	slices.Sort(s.report.Notes)
}

// filesystem is the type of the one that a directory is on, and whom that is.
func filesystem(dir string) string {
	out, err := exec.Command("findmnt", "--noheadings", "--output", "FSTYPE,SOURCE", "--target", dir).Output()
	if err == nil {
		return oneLine(errors.New(string(out)))
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("type 0x%x", st.Type)
}

// user says in whose name it runs.
func user(m userns.Mapping) string {
	switch {
	case m.Privileged():
		return "root"
	case m.Single():
		return "an ordinary user without sub-ids, in a user namespace"
	}
	return "an ordinary user with sub-ids, in a user namespace"
}

// since is how long something took, in whole seconds.
func since(t time.Time) int { return int(time.Since(t).Round(time.Second) / time.Second) }

// newCommandSession is one that measures whole commands only, in the process that a
// person started. Which drivers work is asked where containers run.
func newCommandSession(ctx context.Context, j *job, dir string) (*session, error) {
	s := &session{o: &j.Options, dir: dir, report: &bench.Report{}, listener: bench.Listen(), show: newShow(os.Stderr, j.Style), field: &field{dir: dir}}
	home := filepath.Join(dir, "home")
	rows, err := imagecmd.ListDrivers(ctx, home, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	for i, d := range imagecmd.Drivers(home, slog.New(slog.DiscardHandler)) {
		if j.Options.wants(d.Name()) {
			s.field.add(entrant{Entrant: bench.Entrant{Name: d.Name(), Kind: bench.Driver, Usable: rows[i].Usable, ViewsOnly: cow.Describe(d).ViewsOnly}, home: home})
		}
	}
	s.beside = 2 // native and overlay
	for _, names := range peerPrograms {
		if slices.ContainsFunc(names, func(name string) bool { _, err := exec.LookPath(name); return err == nil }) {
			s.beside++
		}
	}
	s.prepare(j.Began)
	return s, nil
}

// peerPrograms are the names of programs that [field.peers] has take part, each by all its names.
var peerPrograms = [][]string{{"fuse-overlayfs"}, {"unionfs", "unionfs-fuse"}}
