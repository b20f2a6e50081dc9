package bench

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// UnionRows are what the union is judged by, those that drop caches last. The
// kernel's overlay and a second union can be compared with others by the same rows.
func UnionRows() []Row {
	return slices.Concat(warmRows(), changeRows(), largeFileRows(), deepRows(), coldRows())
}

// PackedRows are what the union over packed layers is judged by, on one tree.
func PackedRows() []Row {
	row := func(st State, s Step) Row { return Row{Fixture: FixtureTree, State: st, Steps: []Step{s}} }
	return []Row{
		row(Warm, step("open+read+close warm", 1.0, onTree(openReadClose))),
		row(Warm, step("stat warm", 1.0, onTree(statAll))),
		row(Cold, step("find+stat cold", 0.6, onTree(walkTree))),
		row(Cold, step("read-all cold", 0.8, onTree(readTree))),
		row(Cold, step("read-all cold, paths known", 0, onTree(openReadClose))),
	}
}

func step(name string, limit float64, run func(*Site) (Sample, error)) Step {
	return Step{Name: name, Max: limit, Run: run}
}

func warmRows() []Row {
	warm := func(fixture string, s Step) Row { return Row{Fixture: fixture, State: Warm, Steps: []Step{s}} }
	return []Row{
		warm(FixtureTree, step("open+read+close warm", 1.0, onTree(openReadClose))),
		warm(FixtureTree, step("stat warm", 1.0, onTree(statAll))),
		warm(FixtureTree, step("stat warm, not the root's owner", 1.0, onTree(statAsNobody))),
		warm(FixtureMany, step("ls -l of many files warm", 1.5, listMany)),
		warm(FixtureTree, step("find+stat warm", 2, onTree(walkTree))),
		warm(FixtureTree, step("read-all warm", 1.1, onTree(readTree))),
		warm(FixtureBig, step("random read 4 KiB warm", 1.5, randomRead)),
	}
}

func changeRows() []Row {
	return []Row{
		{Fixture: FixtureEmpty, State: Fresh, Writes: true, Steps: []Step{
			step("create small files by tar", 3, func(s *Site) (Sample, error) {
				archive, err := s.Fixtures.Archive()
				if err != nil {
					return Sample{}, err
				}
				return program(s.Sizes.Many, "tar", "--extract", "--file", archive, "--directory", s.Root)
			}),
			step("rm -rf of them in the upper", 4, func(s *Site) (Sample, error) {
				return program(s.Sizes.Many, "rm", "-rf", filepath.Join(s.Root, untarDir))
			}),
		}},
		{Fixture: FixtureMany, State: Fresh, Writes: true, Steps: []Step{
			step("rm -rf of lower files", 3, func(s *Site) (Sample, error) {
				return program(s.Sizes.Many, "rm", "-rf", filepath.Join(s.Root, manyDir))
			}),
		}},
		{Fixture: FixtureDir, State: Fresh, Writes: true, Steps: []Step{
			step("mv of a lower directory", 0.02, func(s *Site) (Sample, error) {
				return program(1, "mv", filepath.Join(s.Root, movedDir), filepath.Join(s.Root, "other"))
			}),
		}},
	}
}

func deepRows() []Row {
	const one, hundred = "look-ups in 1 layer", "look-ups in 100 layers"
	return []Row{
		{Fixture: FixtureFlat, State: Fresh, Prepare: lookedInto, Steps: []Step{step(one, 0, lookUps)}},
		{Fixture: Deep(100), State: Fresh, Prepare: lookedInto, Steps: []Step{{Name: hundred, Max: 1.1, Base: one, Run: lookUps}}},
	}
}

func coldRows() []Row {
	cold := func(fixture string, s Step) Row { return Row{Fixture: fixture, State: Cold, Steps: []Step{s}} }
	return []Row{
		cold(FixtureTree, step("find+stat cold", 0.6, onTree(walkTree))),
		cold(FixtureTree, step("read-all cold", 0.8, onTree(readTree))),
		cold(FixtureBig, step("sequential read cold", 1.0, sequentialRead)),
		cold(FixtureBig, step("random read 4 KiB cold", 1.5, randomRead)),
	}
}

// timed is a sample of one function.
func timed(ops int, do func() error) (Sample, error) {
	start := time.Now()
	err := do()
	return Sample{time.Since(start), ops}, err
}

// program runs one, as a person would.
func program(ops int, name string, args ...string) (Sample, error) {
	cmd := exec.Command(name, args...)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	s, err := timed(ops, cmd.Run)
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", name, err, talk.Bytes())
	}
	return s, err
}

func onTree(do func(root int, p Paths) (int, error)) func(*Site) (Sample, error) {
	return func(s *Site) (Sample, error) {
		d, ops, err := Workload{Do: do}.Time(s.Root, s.Paths)
		return Sample{d, ops}, err
	}
}

func listMany(s *Site) (Sample, error) {
	return program(s.Sizes.Many, "ls", "-l", filepath.Join(s.Root, manyDir))
}

// nobody owns nothing in a fixture.
const nobody = 65534

// statAsNobody is statAll with the file system's user and group of this thread
// changed (setfsuid(2)), which also takes away what root may do to files.
func statAsNobody(root int, p Paths) (int, error) {
	// The goroutine is locked to its thread by Workload.Time.
	unix.RawSyscall(unix.SYS_SETFSGID, nobody, 0, 0)
	unix.RawSyscall(unix.SYS_SETFSUID, nobody, 0, 0)
	defer unix.RawSyscall(unix.SYS_SETFSGID, 0, 0, 0)
	defer unix.RawSyscall(unix.SYS_SETFSUID, 0, 0, 0)
	if now, _, _ := unix.RawSyscall(unix.SYS_SETFSUID, ^uintptr(0), 0, 0); now != nobody {
		return 0, fmt.Errorf("setfsuid: still %d", now)
	}
	return statAll(root, p)
}

// lookedInto has a union read what it reads of a directory once.
func lookedInto(s *Site) error {
	if _, err := os.Lstat(filepath.Join(s.Root, flatDir, "absent")); !os.IsNotExist(err) {
		return fmt.Errorf("a missing name: %w", err)
	}
	return nil
}

// lookUps asks for every name in a directory and for as many that are not there.
func lookUps(s *Site) (Sample, error) {
	dir, err := unix.Open(filepath.Join(s.Root, flatDir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Sample{}, err
	}
	defer unix.Close(dir)
	return timed(2*s.Sizes.Flat, func() error {
		var st unix.Stat_t
		for i := range s.Sizes.Flat {
			if err := unix.Fstatat(dir, fmt.Sprintf("file%05d", i), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return err
			}
			if err := unix.Fstatat(dir, fmt.Sprintf("none%05d", i), &st, unix.AT_SYMLINK_NOFOLLOW); err != unix.ENOENT {
				return fmt.Errorf("a missing name: %w", err)
			}
		}
		return nil
	})
}

func sequentialRead(s *Site) (Sample, error) {
	return timed(1, func() error {
		f, err := os.Open(filepath.Join(s.Root, bigName(0)))
		if err != nil {
			return err
		}
		defer f.Close()
		buf := make([]byte, readSize)
		for n := int64(0); ; {
			k, err := f.Read(buf)
			n += int64(k)
			if err == io.EOF && n == s.Sizes.Big {
				return nil
			}
			if err != nil {
				return fmt.Errorf("after %d bytes: %w", n, err)
			}
		}
	})
}
