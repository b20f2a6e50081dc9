package unionfs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
)

// An IDRange maps Len ids from Host on, as they are on disk, to those from
// Inside on, as they are shown.
type IDRange struct{ Host, Inside, Len uint32 }

// overflowID is shown for an id that no range covers, as the kernel does.
const overflowID = 65534

// idMap is what happens to one kind of id (user or group) between disk and kernel.
type idMap struct {
	ranges []IDRange // empty: as it is
	squash int64     // show this one only; -1: off
	// shown are the ids that the mount's user namespace knows, as ranges of
	// Inside; nil: all of them. Others are shown as 0, for the kernel refuses
	// to write to an inode whose owner it can't name.
	shown []IDRange
}

// in turns an id on disk to what is shown.
func (m *idMap) in(id uint32) uint32 {
	if m.squash >= 0 {
		return uint32(m.squash)
	}
	if len(m.ranges) > 0 {
		to := uint32(overflowID)
		for _, r := range m.ranges {
			if id >= r.Host && id-r.Host < r.Len {
				to = r.Inside + (id - r.Host)
				break
			}
		}
		id = to
	}
	if m.shown != nil && !slices.ContainsFunc(m.shown, func(r IDRange) bool { return id >= r.Inside && id-r.Inside < r.Len }) {
		return 0
	}
	return id
}

// identity tells whether ids are shown as they are on disk.
func (m *idMap) identity() bool { return len(m.ranges) == 0 && m.squash < 0 && m.shown == nil }

// known is in for an id that may be left out: false when nothing stands for it.
func (m *idMap) known(id uint32) (uint32, bool) {
	in := func(id uint32, from func(IDRange) uint32, set []IDRange) *IDRange {
		for i := range set {
			if first := from(set[i]); id >= first && id-first < set[i].Len {
				return &set[i]
			}
		}
		return nil
	}
	if len(m.ranges) > 0 {
		r := in(id, func(r IDRange) uint32 { return r.Host }, m.ranges)
		if r == nil {
			return 0, false
		}
		id = r.Inside + (id - r.Host)
	}
	if m.shown != nil && in(id, func(r IDRange) uint32 { return r.Inside }, m.shown) == nil {
		return 0, false
	}
	return id, true
}

// out turns an id of a caller to what is written to disk. One that the mapping
// has none for becomes the overflow id, as fuse-overlayfs has it: podman, which
// is root, makes mount points and links in the tree of a container that doesn't
// know that root. It is never refused.
func (m *idMap) out(id uint32) uint32 {
	if on, ok := m.exactly(id); ok {
		return on
	}
	return overflowID
}

// exactly is out for an id that must have one: false when there is none.
func (m *idMap) exactly(id uint32) (uint32, bool) {
	if len(m.ranges) == 0 {
		return id, true
	}
	for _, r := range m.ranges {
		if id >= r.Inside && id-r.Inside < r.Len {
			return r.Host + (id - r.Inside), true
		}
	}
	return 0, false
}

// knownIDs reads /proc/self/uid_map or gid_map: which ids this process's user
// namespace has; nil for all.
func knownIDs(path string) ([]IDRange, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("id map: %w", err)
	}
	defer f.Close()
	return parseIDMap(f)
}

func parseIDMap(r io.Reader) ([]IDRange, error) {
	known := []IDRange{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		var e IDRange
		if _, err := fmt.Sscan(s.Text(), &e.Inside, &e.Host, &e.Len); err != nil {
			return nil, fmt.Errorf("id map %q: %w", s.Text(), err)
		}
		if e.Inside == 0 && e.Len == 1<<32-1 {
			return nil, nil
		}
		known = append(known, e)
	}
	return known, s.Err()
}
