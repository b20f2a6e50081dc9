package buildcontext

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// A memo is a file of records, one an object, ordered by device and inode:
//
//	8 magic · 4 number of records · 4 CRC-32C of them · records
//
// Each is 80 bytes, little endian:
//
//	8 device · 8 inode · 8 size · 8 ctime, ns · 8 mtime, s · 4 mtime, ns ·
//	2 day it was last of use, since 1970 · 2 flags · 32 sum
//
// It is searched where it is; what is new is in fresh until it is saved.
type memo struct {
	path string
	old  []byte // records

	mu    sync.Mutex
	fresh map[fileKey]record // guarded by mu
}

// Bounds of what is kept.
const (
	memoSuffix   = ".sums"
	maxRecords   = 1 << 18 // of one memo: 20 MiB
	maxMemos     = 64
	maxIdleDays  = 30
	memoMagic    = "cfssums1"
	memoHeader   = len(memoMagic) + 8
	recordSize   = 80
	flagHasXattr = 1
)

type record struct {
	key       fileKey
	size      int64
	ctime     int64
	mtime     int64
	mtimeNsec uint32
	day       uint16
	flags     uint16
	sum       sum
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openMemo reads the memo at path; one that can't be read is empty.
func openMemo(path string) *memo {
	return &memo{path: path, old: readMemo(path), fresh: map[fileKey]record{}}
}

func readMemo(path string) []byte {
	b, err := os.ReadFile(path)
	if err != nil || len(b) < memoHeader || string(b[:len(memoMagic)]) != memoMagic {
		return nil
	}
	head, records := b[len(memoMagic):memoHeader], b[memoHeader:]
	n := int(binary.LittleEndian.Uint32(head))
	if n > maxRecords || len(records) != n*recordSize || crc32.Checksum(records, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil
	}
	return records
}

func (r *record) append(b []byte) []byte {
	for _, v := range []uint64{r.key.dev, r.key.ino, uint64(r.size), uint64(r.ctime), uint64(r.mtime)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, r.mtimeNsec)
	b = binary.LittleEndian.AppendUint16(b, r.day)
	b = binary.LittleEndian.AppendUint16(b, r.flags)
	return append(b, r.sum[:]...)
}

// recordAt reads record i of records.
func recordAt(records []byte, i int) (r record) {
	b := records[i*recordSize : (i+1)*recordSize]
	le := binary.LittleEndian
	r.key = keyAt(records, i)
	r.size, r.ctime, r.mtime = int64(le.Uint64(b[16:])), int64(le.Uint64(b[24:])), int64(le.Uint64(b[32:]))
	r.mtimeNsec, r.day, r.flags = le.Uint32(b[40:]), le.Uint16(b[44:]), le.Uint16(b[46:])
	copy(r.sum[:], b[48:])
	return r
}

func keyAt(records []byte, i int) fileKey {
	b := records[i*recordSize:]
	return fileKey{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (k fileKey) compare(o fileKey) int {
	return cmp.Or(cmp.Compare(k.dev, o.dev), cmp.Compare(k.ino, o.ino))
}

// search is the number of the record of k, and false if there is none.
func search(records []byte, k fileKey) (int, bool) {
	lo, hi := 0, len(records)/recordSize
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := keyAt(records, mid).compare(k); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, false
}

// of tells whether r is of o as it is.
func (r *record) of(o *object) bool {
	return r.key == o.id.fileKey && r.ctime == o.id.ctime && r.size == o.attr.Size && r.mtime == o.attr.Mtime &&
		r.mtimeNsec == o.attr.MtimeNsec
}

func (m *memo) recall(o *object, today uint16) (s sum, plain, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.fresh[o.id.fileKey]
	if !ok {
		var i int
		if i, ok = search(m.old, o.id.fileKey); ok {
			r = recordAt(m.old, i)
		}
	}
	if !ok || !r.of(o) {
		return s, false, false
	}
	if r.day != today {
		r.day = today
		m.fresh[r.key] = r
	}
	return r.sum, r.flags&flagHasXattr == 0, true
}

func (m *memo) remember(o *object, s sum, plain bool, today uint16) {
	r := record{key: o.id.fileKey, ctime: o.id.ctime, size: o.attr.Size, mtime: o.attr.Mtime, mtimeNsec: o.attr.MtimeNsec, day: today, sum: s}
	if !plain {
		r.flags = flagHasXattr
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fresh[r.key] = r
}

// save writes what is new to the memo, beside what others have written meanwhile.
func (m *memo) save(dir string, today uint16) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.fresh) == 0 {
		return nil
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	records := m.merged(readMemo(m.path), today)
	b := make([]byte, 0, memoHeader+len(records)*recordSize)
	b = append(b, memoMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(records)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	for i := range records {
		b = records[i].append(b)
	}
	binary.LittleEndian.PutUint32(b[memoHeader-4:], crc32.Checksum(b[memoHeader:], castagnoli))
	if err := renameio.WriteFile(m.path, b, 0o600, renameio.WithTempDir(dir)); err != nil {
		return err
	}
	m.old, m.fresh = b[memoHeader:], map[fileKey]record{}
	return forgetMemos(dir, maxMemos)
}

// merged are the records of old and the fresh ones, ordered, without those long out of use.
func (m *memo) merged(old []byte, today uint16) []record {
	records := make([]record, 0, len(old)/recordSize+len(m.fresh))
	for i := range len(old) / recordSize {
		r := recordAt(old, i)
		if _, ok := m.fresh[r.key]; !ok && int(today)-int(r.day) <= maxIdleDays {
			records = append(records, r)
		}
	}
	for _, r := range m.fresh {
		records = append(records, r)
	}
	if len(records) > maxRecords {
		slices.SortFunc(records, func(a, b record) int { return cmp.Compare(b.day, a.day) })
		records = records[:maxRecords]
	}
	slices.SortFunc(records, func(a, b record) int { return a.key.compare(b.key) })
	return records
}

// lockDir has no other process save in dir meanwhile.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }); err != nil {
		f.Close()
		return nil, err
	}
	return f.Close, nil
}

// forgetMemos removes the memos that were written longest ago, but for the last few, and what
// killed processes left.
func forgetMemos(dir string, keep int) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	type aged struct {
		name  string
		mtime int64
	}
	var memos []aged
	for _, e := range list {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || e.Name() == "lock" {
			continue
		}
		if err != nil {
			return err
		}
		if !strings.HasSuffix(e.Name(), memoSuffix) {
			os.Remove(filepath.Join(dir, e.Name())) // whoever wrote it had the lock
			continue
		}
		memos = append(memos, aged{e.Name(), info.ModTime().UnixNano()})
	}
	slices.SortFunc(memos, func(a, b aged) int { return cmp.Compare(b.mtime, a.mtime) })
	for i := keep; i < len(memos); i++ {
		if err := os.Remove(filepath.Join(dir, memos[i].name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
