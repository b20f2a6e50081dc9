package unionfs

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"
)

// A sequence follows a client that reads the files of directories in an order that
// can be foretold: as they are listed (cp, grep -r), or by their inode numbers (tar,
// which expects them to lie on the disk that way). It says which come next.
type sequence struct {
	o      *dirObj   // the directory; nil: none yet
	t      *dirTable // what is in it
	byIno  []int32   // its regular files by inode number; nil: not needed yet
	sorted bool      // they are read in that order
	last   int       // the place in the order of the one that was read last
	ready  int       // those before that place have been taken, or skipped
	until  int       // those before it are to be taken
	streak int       // how many were read in order, also in the directories before
	taken  bool      // some of this directory's were
	idle   bool      // none of this directory's was read by the client
}

const (
	aheadFiles  = 32   // how many are taken ahead
	aheadStreak = 2    // so many in order are a sequence
	aheadGap    = 8    // files from one to the next in order: some may not be wanted
	aheadSkip   = 512  // names from one to the next
	aheadSort   = 8192 // directories of more names are not sorted
)

// enter begins with a directory that is listed.
func (s *sequence) enter(o *dirObj, t *dirTable) {
	if s.idle && s.taken {
		s.streak = 0 // the files of the last one were not wanted
	}
	s.begin(o, t)
	s.idle = true
	if s.streak >= aheadStreak {
		s.until = aheadFiles
	}
}

// begin turns to a directory. Its order is that of the one before.
func (s *sequence) begin(o *dirObj, t *dirTable) {
	*s = sequence{o: o, t: t, last: -1, streak: s.streak, sorted: s.sorted && len(t.list) <= aheadSort}
	if s.sorted {
		s.sort()
	}
}

// sort puts the files in the order of their inode numbers.
func (s *sequence) sort() {
	if s.byIno != nil {
		return
	}
	s.byIno = make([]int32, 0, len(s.t.list))
	for i := range s.t.list {
		if s.t.list[i].kind() == unix.S_IFREG {
			s.byIno = append(s.byIno, int32(i))
		}
	}
	slices.SortFunc(s.byIno, s.compare)
}

func (s *sequence) compare(i, j int32) int {
	if c := cmp.Compare(s.t.list[i].ino, s.t.list[j].ino); c != 0 {
		return c
	}
	return cmp.Compare(i, j)
}

// place is where the i-th name is in the order.
func (s *sequence) place(i int) int {
	if !s.sorted {
		return i
	}
	p, _ := slices.BinarySearchFunc(s.byIno, int32(i), s.compare)
	return p
}

// read notes that the beginning of a file is read. It reports that there are more
// to be taken than before.
func (s *sequence) read(r lowerRef) bool {
	i := int(r.nid) - 1
	if r.obj != s.o {
		// Back from a directory in this one, say. The next file in order will tell.
		s.streak = max(min(s.streak, aheadStreak)-1, 0)
		s.begin(r.obj, r.obj.table.Load())
		s.from(s.place(i))
		return false
	}
	s.idle = false
	p := s.place(i)
	if !s.follows(p) {
		// By the other order, perhaps.
		if s.sorted = !s.sorted && len(s.t.list) <= aheadSort; s.sorted {
			s.sort()
		}
		s.streak = 0
		s.from(s.place(i))
		return false
	}
	s.streak++
	s.last, s.ready = p, max(s.ready, p+1)
	if s.streak < aheadStreak || s.until > p+aheadFiles/2 {
		return false
	}
	s.until = p + 1 + aheadFiles
	return true
}

// follows tells whether the file at p comes next, or soon.
func (s *sequence) follows(p int) bool {
	if p <= s.last || p-s.last > aheadSkip {
		return false
	}
	if s.sorted {
		return p-s.last <= aheadGap
	}
	files := 0
	for i := s.last + 1; i <= p; i++ {
		if s.t.list[i].kind() == unix.S_IFREG {
			files++
		}
	}
	return files <= aheadGap
}

// from begins anew with the file at p.
func (s *sequence) from(p int) { s.last, s.ready, s.until = p, p+1, p+1 }

// take returns the next file to be read ahead; false if there is none.
func (s *sequence) take() (lowerRef, bool) {
	for s.ready < s.until {
		i := s.ready
		if s.sorted {
			if i >= len(s.byIno) {
				break
			}
			i = int(s.byIno[i])
		}
		if i >= len(s.t.list) {
			break
		}
		s.ready++
		if s.t.list[i].kind() == unix.S_IFREG {
			s.taken = true
			return lowerRef{obj: s.o, nid: nidOf(i)}, true
		}
	}
	return lowerRef{}, false
}
