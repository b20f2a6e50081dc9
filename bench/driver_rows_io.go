package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// smallFile is the size of a small file that is created, in bytes.
const smallFile = 1 << 10

// createSmall makes small files, a hundred a directory.
func createSmall(s *Site) (Sample, error) {
	data := make([]byte, smallFile)
	return timed(s.Sizes.Many, func() error {
		dir := ""
		for i := range s.Sizes.Many {
			if i%100 == 0 {
				dir = filepath.Join(s.Root, untarDir, fmt.Sprintf("d%03d", i/100))
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%05d", i)), data, 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

// listNames reads the names of the large directory.
func listNames(s *Site) (Sample, error) {
	return timed(s.Sizes.Many, func() error {
		fd, err := unix.Open(filepath.Join(s.Root, manyDir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		buf, all := make([]byte, 32<<10), 0
		for {
			n, err := unix.Getdents(fd, buf)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			_, _, names := unix.ParseDirent(buf[:n], -1, nil)
			all += len(names)
		}
		if all != s.Sizes.Many {
			return fmt.Errorf("%d names, there are %d", all, s.Sizes.Many)
		}
		return nil
	})
}

func (c Choice) ioRows() []Row {
	var all []Row
	engine := "our own engine"
	seqRead, randRead, seqWrite, randWrite := sequentialRead, randomReadOf(1), sequentialWrite, randomWrite
	if c.Fio != "" {
		engine = "fio's engine psync"
		seqRead = c.fio(bigName(0), "--readonly", "--rw=read", "--bs=128k", size(c.Sizes.Big))
		randRead = c.fio(bigName(1), "--readonly", "--rw=randread", "--bs=4k", size(c.region()), ioSize(c.Sizes.Random))
		seqWrite = c.fioSequentialWrite()
		randWrite = c.fio("new", "--rw=randwrite", "--bs=4k", size(c.region()), ioSize(c.Sizes.Random), "--fallocate=none")
	}
	for _, st := range []State{Warm, c.unwarmed()} {
		all = append(all, Row{Group: GroupIO, Quick: st == Warm, Fixture: FixtureBig, State: st, Steps: []Step{
			{Name: named(st, "sequential read"), About: "a large file of the image is read, 128 KiB at a time, by " + engine, Reads: func(s *Site) int64 { return s.Sizes.Big }, Run: seqRead},
			{Name: named(st, "random read 4KiB"), About: fmt.Sprintf("%d random pages of another, by %s", c.Sizes.Random, engine), Reads: randomReads, Run: randRead},
		}})
	}
	return append(all, Row{Group: GroupIO, Quick: true, Fixture: FixtureEmpty, State: Fresh, Writes: true, Steps: []Step{
		{Name: "sequential write", About: "a large new file, 1 MiB at a time, then fsync, by " + engine, Run: seqWrite},
		{Name: "random write 4KiB", About: fmt.Sprintf("%d random pages of that file, without fsync, by %s", c.Sizes.Random, engine), Run: randWrite},
	}})
}

// randomReads is what random reads read at least, in bytes: no page twice.
func randomReads(s *Site) int64 {
	pages, n := float64(randomRegion(s)/page), float64(s.Sizes.Random)
	return int64(pages*(1-math.Exp(-n/pages))) * page
}

// region is which part of a large file is read or written at random, in bytes.
func (c Choice) region() int64 { return randomRegion(&Site{Sizes: c.Sizes}) }

func size(n int64) string     { return "--size=" + strconv.FormatInt(n, 10) }
func ioSize(pages int) string { return "--io_size=" + strconv.Itoa(pages*page) }

// fioSequentialWrite is sequentialWrite with the writes by fio. It times no fsync(2) after the last
// of them: that one is ours.
func (c Choice) fioSequentialWrite() func(*Site) (Sample, error) {
	const name = "new"
	write := c.fio(name, "--rw=write", "--bs=1m", size(c.Sizes.Big), "--fallocate=none")
	return func(s *Site) (Sample, error) {
		written, err := write(s)
		if err != nil {
			return Sample{}, err
		}
		f, err := os.OpenFile(filepath.Join(s.Root, name), os.O_WRONLY, 0)
		if err != nil {
			return Sample{}, err
		}
		defer f.Close()
		synced, err := timed(1, f.Sync)
		return Sample{written.Took + synced.Took, 1}, err
	}
}

// fio has fio(1) do a job on a file, and gives the time that its system calls took.
// Caches stay as they are, and random places are the same for all.
func (c Choice) fio(name string, args ...string) func(*Site) (Sample, error) {
	return func(s *Site) (Sample, error) {
		cmd := exec.Command(c.Fio, append([]string{"--name=bench", "--filename=" + filepath.Join(s.Root, name), "--ioengine=psync", "--invalidate=0",
			"--randseed=1", "--allrandrepeat=1", "--randrepeat=1", "--thread", "--output-format=json", "--eta=never"}, args...)...)
		cmd.Dir = os.TempDir() // where it leaves its own files, if it does
		out, err := cmd.Output()
		if err != nil {
			if e, ok := err.(*exec.ExitError); ok {
				err = fmt.Errorf("%w: %s", err, e.Stderr)
			}
			return Sample{}, fmt.Errorf("fio: %w", err)
		}
		return parseFio(out)
	}
}

// fioOutput is what is needed of fio's JSON (fio(1), "JSON OUTPUT"): the number and
// the mean of the latencies of each kind.
type fioOutput struct {
	Jobs []struct {
		Error             int
		Read, Write, Sync fioCalls
	}
}

type fioCalls struct {
	Lat struct {
		Mean float64
		N    int64
	} `json:"lat_ns"`
}

func parseFio(out []byte) (Sample, error) {
	var o fioOutput
	if err := json.Unmarshal(out, &o); err != nil {
		return Sample{}, fmt.Errorf("fio's output: %w", err)
	}
	if len(o.Jobs) != 1 || o.Jobs[0].Error != 0 {
		return Sample{}, fmt.Errorf("fio did %d jobs, not 1 without an error", len(o.Jobs))
	}
	var took float64
	for _, c := range []fioCalls{o.Jobs[0].Read, o.Jobs[0].Write, o.Jobs[0].Sync} {
		took += c.Lat.Mean * float64(c.Lat.N)
	}
	return Sample{time.Duration(took), int(o.Jobs[0].Read.Lat.N + o.Jobs[0].Write.Lat.N)}, nil
}
