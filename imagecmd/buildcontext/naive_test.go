package buildcontext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	mode "github.com/tonistiigi/dchapes-mode"
	"golang.org/x/sys/unix"
)

// naive does what a Copy says to a plain directory, by the calls of the host: one path after
// the other, without any of what the package itself is made of. It is what the package is compared with.
type naive struct {
	c        Copy
	src, dst string
	uid, gid int
	links    map[uint64]string
	items    int
	several  bool // sources are named
	// include is the pattern of --parents; exclude those of --exclude; nil for none.
	include, exclude *patternmatcher.PatternMatcher
}

// ignoreNaively removes from the directory what an ignore file leaves out.
func ignoreNaively(t testing.TB, dir string, lines []string) {
	m, err := patternmatcher.New(lines)
	must(t, err)
	var all []string
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, p); rel != "." {
			all = append(all, rel)
		}
		return err
	}))
	slices.Reverse(all) // what a directory holds comes before it
	for _, rel := range all {
		out, err := matches(m, rel)
		must(t, err)
		if out {
			// A directory that still holds something stays.
			os.Remove(filepath.Join(dir, rel))
		}
	}
}

func (n *naive) run() error {
	if n.c.Chown != "" {
		uid, gid, _ := strings.Cut(n.c.Chown, ":")
		n.uid, _ = strconv.Atoi(uid)
		if n.gid = n.uid; gid != "" {
			n.gid, _ = strconv.Atoi(gid)
		}
	}
	var err error
	if len(n.c.Exclude) > 0 {
		if n.exclude, err = patternmatcher.New(n.c.Exclude); err != nil {
			return err
		}
	}
	type task struct{ path, pattern string }
	var tasks []task
	for _, p := range n.c.Paths {
		if n.c.Parents {
			root, pattern, pivot := strings.Cut(p, "/./")
			if !pivot {
				root, pattern = "/", p
			}
			if !strings.ContainsAny(p, "*?[") {
				if at, err := n.inRoot(n.src, path.Join("/", root, pattern)); err != nil {
					return err
				} else if _, err := os.Lstat(at); err != nil {
					return err
				}
			}
			roots, err := n.glob(root)
			if err != nil {
				return err
			}
			for _, r := range roots {
				tasks = append(tasks, task{r, pattern})
			}
			continue
		}
		found, err := n.glob(p)
		if err != nil {
			return err
		}
		for _, f := range found {
			tasks = append(tasks, task{f, ""})
		}
	}
	n.items = len(tasks)
	n.several = len(n.c.Paths) > 1
	for _, k := range tasks {
		n.include, n.links = nil, map[uint64]string{}
		if k.pattern != "" {
			pattern := strings.TrimPrefix(path.Clean("/"+k.pattern), "/")
			if pattern == "" {
				pattern = "**"
			}
			if n.include, err = patternmatcher.New([]string{pattern}); err != nil {
				return err
			}
		}
		if err := n.item(k.path); err != nil {
			return err
		}
	}
	return nil
}

// glob is what a path names in the source, relative to its root.
func (n *naive) glob(p string) ([]string, error) {
	p = path.Clean(p)
	if rel := strings.TrimPrefix(p, "/"); rel == ".." || strings.HasPrefix(rel, "../") {
		return nil, errors.New("outside")
	}
	elems := strings.Split(strings.TrimPrefix(p, "/"), "/")
	i := slices.IndexFunc(elems, func(e string) bool { return strings.ContainsAny(e, "*?[") })
	if i < 0 {
		return []string{p}, nil
	}
	base, err := n.inRoot(n.src, "/"+path.Join(elems[:i]...))
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(base); err != nil {
		return nil, err
	}
	var out []string
	err = filepath.WalkDir(base, func(at string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(base, at)
		if ok, _ := filepath.Match(path.Join(elems[i:]...), rel); ok && rel != "." {
			in, _ := filepath.Rel(n.src, at)
			out = append(out, in)
			if d.IsDir() {
				return filepath.SkipDir
			}
		}
		return err
	})
	return out, err
}

// inRoot is the path on the host that p leads to inside root. The kernel follows links.
func (n *naive) inRoot(root, p string) (string, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	for range 64 {
		at, err := unix.Openat2(fd, p, &unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_IN_ROOT})
		if err == nil {
			to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", at))
			unix.Close(at)
			return to, err
		}
		if err != unix.ENOENT && err != unix.ENOTDIR {
			return "", err
		}
		// What is missing is what the last name is about, or one before.
		p = strings.TrimRight(strings.TrimSuffix(strings.TrimRight(p, "/"), "/."), "/")
		dir, err := n.inRoot(root, p[:strings.LastIndexByte("/"+p, '/')]+"/")
		if err != nil {
			return "", err
		}
		last := filepath.Join(dir, path.Base(p))
		target, err := os.Readlink(last)
		if err != nil {
			return last, nil
		}
		in, _ := filepath.Rel(root, dir)
		if p = target; !path.IsAbs(target) {
			p = "/" + in + "/" + target // not cleaned: ".." of it is the tree's
		}
	}
	return "", unix.ELOOP
}

func (n *naive) item(p string) error {
	src, err := n.inRoot(n.src, "/"+p)
	if err != nil {
		return err
	}
	st, err := os.Lstat(src)
	if err != nil {
		return err
	}
	if !st.IsDir() && n.include == nil && n.exclude != nil {
		if out, _ := matches(n.exclude, path.Base(p)); out {
			n.items--
			return nil
		}
	}
	to := n.c.Dest
	if !path.IsAbs(to) {
		to = "/" + n.c.WorkDir + "/" + to
	}
	if n.include != nil && !st.IsDir() {
		return nil
	}
	parent := path.Dir(to)
	isDir := strings.HasSuffix(to, "/") || strings.HasSuffix(to, "/.")
	if isDir {
		parent = to
	}
	if parent, err = n.inRoot(n.dst, parent); err == nil {
		err = n.mkdirAll(parent)
	}
	if err != nil {
		return err
	}
	dst, err := n.inRoot(n.dst, path.Clean(to))
	if err != nil {
		return err
	}
	there, err := os.Lstat(dst)
	switch {
	case st.IsDir() && err != nil:
		err = n.mkdirAll(dst)
	case st.IsDir() && !there.IsDir():
		return errors.New("not a directory")
	case st.IsDir():
		err = nil
	case err == nil && there.IsDir():
		dst = filepath.Join(dst, path.Base(p))
	case n.several:
		return errors.New("several onto a name")
	default:
		err = n.mkdirAll(filepath.Dir(dst))
	}
	if err != nil {
		return err
	}
	if st.IsDir() {
		return n.contents(src, dst, "")
	}
	return n.copy(src, dst, "")
}

// any tells whether something that is included is below src.
func (n *naive) any(src, rel string) (bool, error) {
	some := false
	err := filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if in, _ := filepath.Rel(src, p); in != "." && n.included(path.Join(rel, in)) {
			some = true
		}
		return err
	})
	return some, err
}

func (n *naive) included(rel string) bool {
	if rel == "" {
		return true
	}
	ok := true
	if n.include != nil {
		ok, _ = matches(n.include, rel)
	}
	if ok && n.exclude != nil {
		out, _ := matches(n.exclude, rel)
		ok = !out
	}
	return ok
}

func (n *naive) mkdirAll(p string) error {
	if st, err := os.Lstat(p); err == nil {
		if !st.IsDir() {
			return errors.New("not a directory")
		}
		return nil
	}
	if err := n.mkdirAll(filepath.Dir(p)); err != nil {
		return err
	}
	m := uint32(0o755)
	if v, err := strconv.ParseUint(n.c.Chmod, 8, 32); err == nil {
		m = uint32(v) & 0o777
	}
	return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, n.uid, n.gid), unix.Chmod(p, m))
}

func (n *naive) contents(src, dst, rel string) error {
	list, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range list {
		in := path.Join(rel, e.Name())
		from, to := filepath.Join(src, e.Name()), filepath.Join(dst, e.Name())
		switch {
		case n.included(in):
			err = n.copy(from, to, in)
		case e.IsDir():
			var some bool
			if some, err = n.any(from, in); !some || err != nil {
				break
			}
			var st os.FileInfo
			if st, err = os.Lstat(to); err == nil && st.IsDir() {
				var was os.FileInfo
				was, err = os.Lstat(from)
				err = errors.Join(err, os.Chmod(to, was.Mode()))
			} else if err == nil {
				err = errors.New("not a directory")
			} else {
				err = n.directory(from, to)
			}
			if err == nil {
				err = n.contents(from, to, in)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *naive) directory(src, dst string) error {
	if err := os.Mkdir(dst, 0o700); err != nil {
		return err
	}
	return n.attributes(src, dst)
}

func (n *naive) copy(src, dst, rel string) error {
	var st unix.Stat_t
	if err := unix.Lstat(src, &st); err != nil {
		return err
	}
	there, err := os.Lstat(dst)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		switch {
		case err != nil || !there.IsDir():
			os.Remove(dst)
			err = n.directory(src, dst)
		default:
			err = n.attributes(src, dst)
		}
		if err != nil {
			return err
		}
		return n.contents(src, dst, rel)
	}
	if err := os.RemoveAll(dst); err != nil {
		return err
	}
	if first, ok := n.links[st.Ino]; ok && st.Nlink > 1 {
		return os.Link(first, dst)
	}
	n.links[st.Ino] = dst
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, _ := os.Readlink(src)
		err = os.Symlink(target, dst)
	default:
		var b []byte
		if b, err = os.ReadFile(src); err == nil {
			err = os.WriteFile(dst, b, 0o600)
		}
	}
	if err != nil {
		return err
	}
	return n.attributes(src, dst)
}

func (n *naive) attributes(src, dst string) error {
	var st unix.Stat_t
	if err := unix.Lstat(src, &st); err != nil {
		return err
	}
	if err := os.Lchown(dst, n.uid, n.gid); err != nil {
		return err
	}
	var names, value [256]byte
	for {
		// What is there and not the source's goes: a layer says all that there is.
		k, _ := unix.Llistxattr(dst, names[:])
		if k <= 0 {
			break
		}
		first, _, _ := strings.Cut(string(names[:k]), "\x00")
		must := unix.Lremovexattr(dst, first)
		if must != nil {
			return must
		}
	}
	k, _ := unix.Llistxattr(src, names[:])
	for _, name := range strings.Split(string(names[:max(k, 0)]), "\x00") {
		if name == "" {
			continue
		}
		v, err := unix.Lgetxattr(src, name, value[:])
		if err == nil {
			err = unix.Lsetxattr(dst, name, value[:v], 0)
		}
		if err != nil {
			return err
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		m := st.Mode & 0o7777
		if v, err := strconv.ParseUint(n.c.Chmod, 8, 32); err == nil {
			m = uint32(v)
		} else if n.c.Chmod != "" {
			fi, _ := os.Lstat(src)
			f, err := mode.Apply(n.c.Chmod, fi.Mode(), 0)
			if err != nil {
				return err
			}
			if err := os.Chmod(dst, f); err != nil {
				return err
			}
			return n.time(dst, &st)
		}
		if err := unix.Chmod(dst, m); err != nil {
			return err
		}
	}
	return n.time(dst, &st)
}

func (n *naive) time(dst string, st *unix.Stat_t) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, dst, []unix.Timespec{st.Mtim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}
