package bench

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// largeFileRows change large files of a lower, or write one. What takes less than
// a millisecond is done to several; the sample is their median.
func largeFileRows() []Row {
	fresh := func(fixture string, s Step) Row {
		return Row{Fixture: fixture, State: Fresh, Writes: true, Steps: []Step{s}}
	}
	return []Row{
		fresh(FixtureBig, step("first write to a large lower file", 0.02, onBigs(func(name string) error {
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("x"), 4096*100)
			return errors.Join(err, f.Close())
		}))),
		fresh(FixtureBig, step("chmod of a large lower file", 0.02, onBigs(func(name string) error { return os.Chmod(name, 0o600) }))),
		fresh(FixtureBig, step("rm of a large lower file", 2, onSparse(unix.Unlink))),
		fresh(FixtureBig, step("O_TRUNC of a large lower file", 2, onSparse(func(name string) error {
			fd, err := unix.Open(name, unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}))),
		fresh(FixtureEmpty, step("sequential write + fsync", 1.1, sequentialWrite)),
		{Fixture: FixtureEmpty, State: Fresh, Writes: true, Prepare: prepareRandomWrite, Steps: []Step{step("random write 4 KiB", 1.5, randomWrite)}},
	}
}

// onBigs does something to every large file that has data.
func onBigs(do func(name string) error) func(*Site) (Sample, error) {
	return func(s *Site) (Sample, error) { return eachFile(s, s.Sizes.Bigs, bigName, do) }
}

// onSparse does it to those that have none: where data are not read, they are as good.
func onSparse(do func(name string) error) func(*Site) (Sample, error) {
	return func(s *Site) (Sample, error) { return eachFile(s, s.Sizes.Sparse, sparseName, do) }
}

func eachFile(s *Site, n int, name func(int) string, do func(string) error) (Sample, error) {
	var each Samples
	for i := range n {
		p := filepath.Join(s.Root, name(i))
		start := time.Now()
		if err := do(p); err != nil {
			return Sample{}, err
		}
		each = append(each, time.Since(start))
	}
	return Sample{each.Median(), n}, nil
}

// writeSize is how much one write(2) of a sequential write is, in bytes.
const writeSize = 1 << 20

func sequentialWrite(s *Site) (Sample, error) {
	return timed(1, func() error { return writeFile(filepath.Join(s.Root, "new"), s.Sizes.Big, true) })
}

func writeFile(path string, size int64, sync bool) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	buf := make([]byte, min(writeSize, size))
	for n := int64(0); n < size && err == nil; n += int64(len(buf)) {
		_, err = f.Write(buf)
	}
	if sync && err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

const page = 4096

// randomRegion is which part of a large file is read or written at random, in bytes.
func randomRegion(s *Site) int64 { return min(s.Sizes.Big, 256<<20) }

func randomRead(s *Site) (Sample, error) { return randomReadOf(0)(s) }

// randomReadOf reads the i-th large file.
func randomReadOf(i int) func(*Site) (Sample, error) {
	return func(s *Site) (Sample, error) {
		f, err := os.Open(filepath.Join(s.Root, bigName(i)))
		if err != nil {
			return Sample{}, err
		}
		defer f.Close()
		return randomPages(s, func(buf []byte, off int64) error { _, err := f.ReadAt(buf, off); return err })
	}
}

// prepareRandomWrite makes the file, and lets the kernel and the server get to know it.
func prepareRandomWrite(s *Site) error {
	if err := writeFile(filepath.Join(s.Root, "new"), randomRegion(s), true); err != nil {
		return err
	}
	_, err := randomWrite(s)
	return err
}

func randomWrite(s *Site) (Sample, error) {
	f, err := os.OpenFile(filepath.Join(s.Root, "new"), os.O_WRONLY, 0)
	if err != nil {
		return Sample{}, err
	}
	sample, err := randomPages(s, func(buf []byte, off int64) error { _, err := f.WriteAt(buf, off); return err })
	return sample, errors.Join(err, f.Close())
}

// randomPages does something at the same random places for everybody.
func randomPages(s *Site, do func(buf []byte, off int64) error) (Sample, error) {
	rnd := rand.New(rand.NewPCG(3, 4))
	offs := make([]int64, s.Sizes.Random)
	for i := range offs {
		offs[i] = rnd.Int64N(randomRegion(s)/page) * page
	}
	buf := make([]byte, page)
	return timed(len(offs), func() error {
		for _, o := range offs {
			if err := do(buf, o); err != nil {
				return err
			}
		}
		return nil
	})
}
