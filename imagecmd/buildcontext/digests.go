package buildcontext

// Digests remembers digests of files on disk, by device, inode, size, ctime and
// mtime, so that a file that has not changed is not read again. It may be used by
// several goroutines, and its directory by several processes.
//
// A file that was changed within the clock's granularity before it was read is
// not remembered: it could be changed once more without a trace.
type Digests struct{}

// OpenDigests uses the directory dir, which is made if it is missing. Damaged files in it
// count as missing: it is a cache.
func OpenDigests(dir string) (*Digests, error) { return nil, errUnfinished }

// Close writes what is new.
func (d *Digests) Close() error { return nil }
