package buildcontext

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Digests remembers digests of files on disk, by device, inode, size, ctime and
// mtime, so that a file that has not changed is not read again. It may be used by
// several goroutines, and its directory by several processes. Its memory is one file for each
// context, of bounded size (memo.go), and there are no more than maxMemos.
//
// A file that was changed within the clock's granularity before it was read is
// not remembered: it could be changed once more without a trace.
type Digests struct {
	dir   string
	today uint16

	mu    sync.Mutex
	memos map[string]*memo // by the source's id; guarded by mu
}

// OpenDigests uses the directory dir, which is made if it is missing. Damaged files in it
// count as missing: it is a cache.
func OpenDigests(dir string) (*Digests, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("digests: %w", err)
	}
	return &Digests{dir: dir, today: uint16(time.Now().Unix() / 86400), memos: map[string]*memo{}}, nil
}

// ForgetDigests removes what is remembered in the directory dir, which builds may be using.
func ForgetDigests(dir string) error {
	unlock, err := lockDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(forgetMemos(dir, 0), unlock())
	}
	if err != nil {
		return fmt.Errorf("digests: %w", err)
	}
	return nil
}

// Close writes what is new.
func (d *Digests) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	for _, m := range d.memos {
		err = errors.Join(err, m.save(d.dir, d.today))
	}
	clear(d.memos)
	if err != nil {
		return fmt.Errorf("digests: %w", err)
	}
	return nil
}

// memo is what is remembered of the source with that id; nil for none.
func (d *Digests) memo(id string) *memo {
	if id == "" {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.memos[id]
	if m == nil {
		sum := sha256.Sum256([]byte(id))
		m = openMemo(filepath.Join(d.dir, hex.EncodeToString(sum[:16])+memoSuffix))
		d.memos[id] = m
	}
	return m
}

// recall tells the sum of o, and whether it has no extended attributes.
func (d *Digests) recall(id string, o *object) (s sum, plain, ok bool) {
	m := d.memo(id)
	if m == nil || o.id == (fileID{}) {
		return s, false, false
	}
	return m.recall(o, d.today)
}

// remember keeps the sum of o, whose reading began at that time.
func (d *Digests) remember(id string, o *object, s sum, plain bool, began time.Time) {
	m := d.memo(id)
	if m == nil || o.id == (fileID{}) || !settled(o, began) {
		return
	}
	m.remember(o, s, plain, d.today)
}

// settled tells whether every later change of o has another ctime than it has now, when
// its reading began at that time. Clocks of filesystems advance with the kernel's tick, up to
// 10 ms; those that keep whole seconds, or every second one, show it by the rest.
func settled(o *object, began time.Time) bool {
	if o.id.ctime == 0 {
		return true // of a tree that never changes
	}
	margin := 100 * time.Millisecond
	if o.id.ctime%int64(time.Second) == 0 {
		margin = 3 * time.Second
	}
	return began.UnixNano()-o.id.ctime > int64(margin)
}
