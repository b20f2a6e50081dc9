package unionfs

import (
	"golang.org/x/sys/unix"
)

// A stream is where a client is that reads a large file from one end to the other.
// The kernel reads ahead for it in the union and, for the server, in the lower, but
// not both at once, and in the lower not beyond what one request asks for: the disk
// would wait while data is on its way to the client. Its fields are protected by
// ahead.mu.
type stream struct {
	start  int64 // where it began, in bytes
	at     int64 // where the last read ended
	have   int64 // read ahead up to there
	want   int64 // to be read ahead up to there
	queued bool  // in ahead.streams, which has a reference
}

const (
	streamRead  = 64 << 10  // bytes of a read that may be a part of one
	streamFrom  = 512 << 10 // bytes in a row that make one
	streamSlack = 1 << 20   // requests of one come in any order within so many bytes
	streamAhead = 4 << 20   // bytes ahead, but never more than were read in a row
)

// move notes a read from off to end, and reports that more is wanted than before.
func (s *stream) move(off, end int64) bool {
	if off < s.at-streamSlack || off > s.at+streamSlack {
		s.start, s.at, s.have, s.want = off, end, end, 0
		return false
	}
	if end <= s.at {
		return false
	}
	s.at = end
	s.have = max(s.have, end)
	window := min(end-s.start, streamAhead)
	if window < streamFrom || s.want > end+window/2 {
		return false
	}
	s.want = end + window
	return true
}

// reads is told that a client reads from off to end, of a file whose data is h's alone.
func (a *ahead) reads(h *handle, off, end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !h.stream.move(off, end) || h.stream.queued {
		return
	}
	h.stream.queued = true
	h.refs.Add(1)
	a.streams = append(a.streams, h)
	a.ring()
}

// readStream reads one stream ahead; false if there is none.
func (a *ahead) readStream() bool {
	a.mu.Lock()
	if len(a.streams) == 0 {
		a.mu.Unlock()
		return false
	}
	h := a.streams[0]
	a.streams = a.streams[1:]
	s := &h.stream
	from, to := s.have, s.want
	s.have, s.queued = max(from, to), false
	a.mu.Unlock()
	if from < to {
		_ = unix.Fadvise(h.fd, from, to-from, unix.FADV_WILLNEED)
	}
	h.put()
	return true
}
