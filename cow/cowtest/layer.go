package cowtest

import (
	"archive/tar"
	"fmt"
	"io"
	"maps"
	"path"
	"time"

	"github.com/cfs-project/cfs/whiteout"
)

// epoch is the modification time of entries that set no other.
var epoch = time.Unix(1_600_000_000, 0)

// An Entry is one entry of a layer's tar.
type Entry struct {
	Path   string // relative, slash-separated, clean; any bytes
	Type   byte   // tar.TypeReg, TypeDir, TypeSymlink, TypeLink, TypeChar, TypeBlock, TypeFifo
	Mode   uint32 // permissions with setuid, setgid and sticky bits
	UID    int
	GID    int
	Data   string
	Target string // of symlinks as it is, of hard links like Path
	Major  int64
	Minor  int64
	Xattrs map[string]string
	Time   time.Time // modification time
}

// A Layer is the entries of a tar, in its order. Paths never lead through a
// symlink.
type Layer []Entry

// Dir is a directory, 0755.
func Dir(path string) Entry { return Entry{Path: path, Type: tar.TypeDir, Mode: 0o755, Time: epoch} }

// File is a regular file, 0644.
func File(path, data string) Entry {
	return Entry{Path: path, Type: tar.TypeReg, Mode: 0o644, Data: data, Time: epoch}
}

// Symlink is a symbolic link to target.
func Symlink(path, target string) Entry {
	return Entry{Path: path, Type: tar.TypeSymlink, Mode: 0o777, Target: target, Time: epoch}
}

// Hardlink is another name of the file at target, in this layer or below.
func Hardlink(path, target string) Entry {
	return Entry{Path: path, Type: tar.TypeLink, Mode: 0o644, Target: target, Time: epoch}
}

// Fifo is a named pipe, 0644.
func Fifo(path string) Entry { return Entry{Path: path, Type: tar.TypeFifo, Mode: 0o644, Time: epoch} }

// Device is a character device, 0600.
func Device(path string, major, minor int64) Entry {
	return Entry{Path: path, Type: tar.TypeChar, Mode: 0o600, Major: major, Minor: minor, Time: epoch}
}

// Whiteout removes what the layers below have at p.
func Whiteout(p string) Entry {
	return File(path.Join(path.Dir(p), whiteout.Prefix+path.Base(p)), "")
}

// Opaque hides what the layers below have in directory p.
func Opaque(p string) Entry { return File(path.Join(p, whiteout.OpaqueName), "") }

// Perm is e with other permissions.
func (e Entry) Perm(mode uint32) Entry { e.Mode = mode; return e }

// Own is e with another owner.
func (e Entry) Own(uid, gid int) Entry { e.UID, e.GID = uid, gid; return e }

// At is e with another modification time.
func (e Entry) At(t time.Time) Entry { e.Time = t; return e }

// Xattr is e with one more extended attribute.
func (e Entry) Xattr(name, value string) Entry {
	e.Xattrs = maps.Clone(e.Xattrs)
	if e.Xattrs == nil {
		e.Xattrs = map[string]string{}
	}
	e.Xattrs[name] = value
	return e
}

// WriteTar writes l as an uncompressed tar, with PAX records where they are
// needed.
func (l Layer) WriteTar(w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, e := range l {
		h := &tar.Header{
			Typeflag: e.Type, Name: e.Path, Mode: int64(e.Mode), Uid: e.UID, Gid: e.GID,
			Size: int64(len(e.Data)), Linkname: e.Target, Devmajor: e.Major, Devminor: e.Minor, ModTime: e.Time,
		}
		if e.Type == tar.TypeDir && e.Path != "." {
			h.Name += "/"
		}
		if e.Time.Nanosecond() != 0 || len(e.Xattrs) > 0 {
			h.Format = tar.FormatPAX
		}
		if len(e.Xattrs) > 0 {
			h.PAXRecords = map[string]string{}
			for k, v := range e.Xattrs {
				h.PAXRecords["SCHILY.xattr."+k] = v
			}
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("writing tar entry %q: %w", e.Path, err)
		}
		if _, err := io.WriteString(tw, e.Data); err != nil {
			return fmt.Errorf("writing tar entry %q: %w", e.Path, err)
		}
	}
	return tw.Close()
}
