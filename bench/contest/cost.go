package contest

import (
	"strconv"
	"strings"
	"time"

	"github.com/cfs-project/cfs/bench"
)

// What things take a host with an ordinary disk, about. A plan begins with it, and
// corrects it by what is measured.
const (
	perFileMade   = 250 * time.Microsecond // written, packed, and merged with the other layers
	perFileCopied = 60 * time.Microsecond  // also removed again
	perFileRead   = 8 * time.Microsecond   // from the kernel's caches
	perFileCold   = 60 * time.Microsecond
	perFileNew    = 40 * time.Microsecond // made in a container, and removed
	perLayer      = 15 * time.Millisecond // of an image that is made
	perMount      = 40 * time.Millisecond // of a new container
	perProgram    = 250 * time.Millisecond
	perStart      = 200 * time.Millisecond // of a whole command
	perDrop       = 60 * time.Millisecond  // of the kernel's caches
	bytesMade     = 100 << 20              // a second
	bytesCopied   = 250 << 20
	bytesCold     = 400 << 20
	bytesWarm     = 2 << 30
)

// copiers are how many of the contestants copy an image to make a container on it, about:
// the native directory, and a driver that has no other way.
const copiers = 2

func at(bytes int64, aSecond int64) time.Duration {
	return time.Duration(float64(bytes) / float64(aSecond) * float64(time.Second))
}

// amount is how much a fixture holds.
func amount(name string, z bench.Sizes) (files int, bytes int64, layers int) {
	if n, err := strconv.Atoi(strings.TrimPrefix(name, bench.FixtureDeep)); err == nil {
		return z.Flat, 0, n
	}
	switch name {
	case bench.FixtureTree:
		return z.Tree, int64(z.Tree) * 20 << 10, 5
	case bench.FixtureMany:
		return z.Many, int64(z.Many) * 512, 1
	case bench.FixtureBig:
		return 9 * z.Mids, int64(z.Bigs)*z.Big + int64(z.Mids)<<20, 1
	case bench.FixtureDir:
		return z.Dir, 0, 1
	case bench.FixtureGit, bench.FixtureSource, bench.FixturePackages:
		return 1000, 0, 1
	}
	return 0, 0, 1
}

// rowStep is the step of a row that so many contestants do. What others made is not made
// again.
func rowStep(row bench.Row, z bench.Sizes, contestants int, made map[string]bool) step {
	s := step{group: row.Group, name: row.Lines()[0].Name}
	files, bytes, layers := amount(row.Fixture, z)
	n := time.Duration(contestants)
	if !made[row.Fixture] {
		made[row.Fixture] = true
		// Each driver that extracts does so once.
		s.once = time.Duration(files)*(perFileMade+n*perFileCopied) + at(bytes, bytesMade) + n*at(bytes, bytesCopied) + time.Duration(layers)*(1+n/2)*perLayer
	}
	steps := time.Duration(len(row.Steps))
	switch {
	case row.State == bench.Warm:
		s.round = n * (time.Duration(files)*perFileRead + at(bytes, bytesWarm))
	case row.State == bench.Cold:
		s.round = n * (perMount + 2*perDrop + time.Duration(files)*perFileCold + at(bytes, bytesCold))
	case row.Writes || row.Anew:
		s.round = n*(perMount+time.Duration(files)*perFileRead) + copiers*(time.Duration(files)*perFileCopied+at(bytes, bytesCopied))
		if row.Fixture == bench.FixtureEmpty {
			s.round += n * (time.Duration(z.Many)*perFileNew + at(z.Big, bytesCopied))
		}
	default:
		s.round = n * (perMount + time.Duration(files)*perFileRead + at(bytes, bytesWarm))
	}
	if row.Group == bench.GroupApps || row.Group == bench.GroupIO {
		s.round += n * steps * perProgram
	}
	return s
}

// The steps that are no rows.

func startStep(z bench.Sizes, contestants int) step {
	files, bytes, _ := amount(bench.FixtureTree, z)
	n := time.Duration(contestants)
	load := time.Duration(files)*perFileMade + at(bytes, bytesMade)
	return step{group: bench.GroupStart, name: startLine, once: (2 + n/2) * load, round: n*perStart + copiers*(time.Duration(files)*perFileCopied+at(bytes, bytesCopied))}
}

func readyStep(z bench.Sizes, contestants int) step {
	s := startStep(z, contestants)
	files, bytes, _ := amount(bench.FixtureTree, z)
	return step{group: bench.GroupStart, name: readyLine,
		round: s.round + time.Duration(contestants)*(time.Duration(files)*(perFileMade+perFileCopied)/2+at(bytes, bytesMade))}
}

func shareStep(z bench.Sizes, contestants int) step {
	files, bytes, _ := amount(bench.FixtureTree, z)
	return step{group: bench.GroupShare, name: secondRead, round: time.Duration(contestants)*(2*perMount+2*perDrop+2*(time.Duration(files)*perFileCold+at(bytes, bytesCold))) +
		2*copiers*(time.Duration(files)*perFileCopied+at(bytes, bytesCopied))}
}

func spaceStep(z bench.Sizes, contestants int) step {
	s := shareStep(z, contestants)
	return step{group: bench.GroupSpace, name: imageSpace, once: s.round * 2}
}
