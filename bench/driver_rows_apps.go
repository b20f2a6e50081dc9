package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// appRows are what people do in a container, by the programs of this host.
func (c Choice) appRows() []Row {
	row := func(fixture string, steps ...Step) Row {
		return Row{Group: GroupApps, Fixture: fixture, State: Fresh, Writes: true, Steps: steps}
	}
	var all []Row
	if have("dpkg-deb", "dpkg") {
		all = append(all, row(FixturePackages, Step{Name: "install a package", About: fmt.Sprintf("a package of %d files is installed by dpkg -i, with all its fsyncs", packageFiles), Run: func(s *Site) (Sample, error) {
			cmd := exec.Command("dpkg", "--root="+s.Root, "--force-not-root", "--force-bad-path", "--force-script-chrootless", "--log=/dev/null", "--install", s.Fixtures.Package())
			cmd.Env = append(os.Environ(), "LC_ALL=C", "TMPDIR="+filepath.Dir(s.Fixtures.Package()))
			return timed(packageFiles, func() error { return execute(cmd) })
		}}))
	}
	if have("git") {
		status := func(s *Site) (Sample, error) {
			return timed(repositoryFiles, func() error { return execute(gitCommand(s.Root, "status", "--porcelain")) })
		}
		all = append(all, row(FixtureGit,
			Step{Name: "git status, first", About: fmt.Sprintf("in a repository of %d files that the image brings", repositoryFiles), Run: status},
			Step{Name: "git status, again", About: "the same once more, with its index written anew", Run: status}))
	}
	if have("sqlite3") {
		all = append(all, row(FixtureEmpty, Step{Name: "sqlite", About: fmt.Sprintf("a new database: %d transactions with fsync, then %d rows in one", sqliteTransactions, sqliteRows), Run: sqlite}))
	}
	if have("cc") {
		all = append(all, row(FixtureSource, Step{Name: "compile", About: fmt.Sprintf("%d files of C that the image brings are compiled by cc -O1", sourceFiles), Run: compile}))
	}
	return all
}

// Missing are the programs that this host lacks, and the lines there can't be for that.
func Missing() map[string]string {
	m := map[string]string{}
	for line, programs := range map[string][]string{
		"install a package": {"dpkg-deb", "dpkg"}, "git status": {"git"}, "sqlite": {"sqlite3"}, "compile": {"cc"},
	} {
		for _, p := range programs {
			if !have(p) {
				m[line] = p
			}
		}
	}
	return m
}

func have(programs ...string) bool {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return false
		}
	}
	return true
}

const (
	sqliteTransactions = 50
	sqliteRows         = 20000
)

func sqlite(s *Site) (Sample, error) {
	var b strings.Builder
	b.WriteString("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);\n")
	for i := range sqliteTransactions {
		fmt.Fprintf(&b, "INSERT INTO t (name) VALUES ('one %d');\n", i)
	}
	fmt.Fprintf(&b, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO t (name) SELECT 'many ' || i FROM n;\n", sqliteRows)
	cmd := exec.Command("sqlite3", "-batch", filepath.Join(s.Root, "db"))
	cmd.Stdin = strings.NewReader(b.String())
	return timed(sqliteTransactions+1, func() error { return execute(cmd) })
}

func compile(s *Site) (Sample, error) {
	names, err := filepath.Glob(filepath.Join(s.Root, "*.c"))
	if err != nil {
		return Sample{}, err
	}
	cmd := exec.Command("cc", append([]string{"-O1", "-c"}, names...)...)
	cmd.Dir = s.Root
	cmd.Env = append(os.Environ(), "TMPDIR="+s.Root)
	return timed(len(names), func() error { return execute(cmd) })
}
