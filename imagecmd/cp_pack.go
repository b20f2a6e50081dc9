package imagecmd

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// fdPath is the link of a descriptor of this process.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// A cpObject is what is copied, as it is before it is.
type cpObject struct {
	Name     string // what it is called, and the first part of all names in a tar of it
	Dir      bool
	Contents bool   // what the directory holds goes into another: "DIR/."
	Link     string // target of a symlink
}

// A packing writes objects of a tree as a tar. Whoever is in the tree may change it
// meanwhile: nothing is opened but by its directory's descriptor, without following links.
type packing struct {
	w     *tar.Writer
	names bool // users and groups by the tree's own passwd and group
	root  rootedAt
	links map[inodeID]string // where a file with several names is in the tar
	users map[int]string
	grps  map[int]string
}

type inodeID struct{ dev, ino uint64 }

// lookAt opens an object of the tree at root, O_PATH. A symlink is followed only as part
// of the path, where that ends with a slash, or as follow says.
func lookAt(root rootedAt, name string, follow bool) (*os.File, cpObject, error) {
	flags := unix.O_PATH
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	var o cpObject
	f, err := root.open(name, flags)
	if err != nil {
		return nil, o, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, o, err
	}
	o.Dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		o.Link, _ = readlinkAt(f, "")
	}
	o.Name = path.Base(path.Clean("/" + name))
	if o.Name == "/" || o.Dir && (strings.HasSuffix(name, "/.") || name == ".") {
		o.Name, o.Contents = ".", true
	}
	return f, o, nil
}

// pack writes an object of the tree at root.
func pack(w io.Writer, root rootedAt, name string, follow, names bool) error {
	f, o, err := lookAt(root, name, follow)
	if err != nil {
		return err
	}
	defer f.Close()
	p := &packing{w: tar.NewWriter(w), root: root, names: names, links: map[inodeID]string{}}
	if err := p.object(f, o.Name); err != nil {
		return err
	}
	return p.w.Close()
}

// object writes what f, O_PATH, is opened on, and what a directory holds.
func (p *packing) object(f *os.File, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid), ModTime: time.Unix(st.Mtim.Sec, 0), Format: tar.FormatPAX,
	}
	p.owner(h)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return p.directory(f, h)
	case unix.S_IFSOCK: // a tar has none
		return nil
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		var err error
		if h.Linkname, err = readlinkAt(f, ""); err != nil {
			return &os.PathError{Op: "readlink", Path: name, Err: err}
		}
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	if id := (inodeID{st.Dev, st.Ino}); st.Nlink > 1 {
		if first, ok := p.links[id]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return p.w.WriteHeader(h)
		}
		p.links[id] = name
	}
	if h.Typeflag == tar.TypeReg {
		return p.file(f, h)
	}
	return p.w.WriteHeader(h)
}

// file writes a regular file: as much as its header says, whatever is written to it
// meanwhile.
func (p *packing) file(f *os.File, h *tar.Header) error {
	in, err := os.Open(procPath(f))
	if err != nil {
		return &os.PathError{Op: "open", Path: h.Name, Err: errors.Unwrap(err)}
	}
	defer in.Close()
	if v, err := getXattr(in, "security.capability"); err == nil {
		h.PAXRecords = map[string]string{capabilityRecord: v}
	}
	if err := p.w.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.CopyN(p.w, in, h.Size)
	if errors.Is(err, io.EOF) { // it has become shorter
		_, err = io.CopyN(p.w, zeros{}, h.Size-n)
	}
	if err != nil {
		return fmt.Errorf("copying %s: %w", h.Name, err)
	}
	return nil
}

// capabilityRecord is the PAX record of a file's capabilities.
const capabilityRecord = "SCHILY.xattr.security.capability"

func getXattr(f *os.File, name string) (string, error) {
	var b [256]byte // a capability has 24 at most
	n, err := unix.Fgetxattr(int(f.Fd()), name, b[:])
	return string(b[:max(n, 0)]), err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func (p *packing) directory(f *os.File, h *tar.Header) error {
	h.Typeflag = tar.TypeDir
	name := h.Name
	h.Name += "/"
	if err := p.w.WriteHeader(h); err != nil {
		return err
	}
	dir, err := openWithin(f, "", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: errors.Unwrap(err)}
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	slices.Sort(names)
	for _, n := range names {
		fd, err := unix.Openat(int(dir.Fd()), n, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			continue // gone meanwhile
		}
		if err != nil {
			return &os.PathError{Op: "open", Path: name + "/" + n, Err: err}
		}
		child := os.NewFile(uintptr(fd), n)
		err = p.object(child, name+"/"+n)
		child.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// maxAccounts bounds what is read of a tree's passwd and group, in bytes.
const maxAccounts = 1 << 20

// owner names the header's user and group, as the tree itself has them: they are read as
// data, and no library of the tree is asked (CVE-2019-14271).
func (p *packing) owner(h *tar.Header) {
	if !p.names {
		return
	}
	if p.users == nil {
		p.users, p.grps = map[int]string{}, map[int]string{}
		accounts, _ := user.ParsePasswd(strings.NewReader(p.read("/etc/passwd")))
		for _, u := range slices.Backward(accounts) {
			p.users[u.Uid] = u.Name
		}
		groups, _ := user.ParseGroup(strings.NewReader(p.read("/etc/group")))
		for _, g := range slices.Backward(groups) {
			p.grps[g.Gid] = g.Name
		}
	}
	h.Uname, h.Gname = p.users[h.Uid], p.grps[h.Gid]
}

// read reads a regular file of the tree; what is none is empty.
func (p *packing) read(name string) string {
	f, err := p.root.open(name, unix.O_PATH)
	if err != nil {
		return ""
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return ""
	}
	in, err := os.Open(procPath(f))
	if err != nil {
		return ""
	}
	defer in.Close()
	b, _ := io.ReadAll(io.LimitReader(in, maxAccounts))
	return string(b)
}
