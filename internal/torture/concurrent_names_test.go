package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Names: everybody makes, renames and removes its own names in one directory of
// the lower, and races with all others for the same ones, where just one may win.

const (
	ownNames = 30
	races    = 12
)

// raceKinds are what a race is about; the lower has a file for each race of some.
var raceKinds = []struct {
	name  string
	lower bool
	try   func(dir string, i, id int) error
}{
	{"create", false, func(dir string, i, id int) error {
		f, err := os.OpenFile(fmt.Sprintf("%s/create-%d", dir, i), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(f, id)
		return errors.Join(err, f.Close())
	}},
	{"mkdir", false, func(dir string, i, _ int) error { return os.Mkdir(fmt.Sprintf("%s/mkdir-%d", dir, i), 0o755) }},
	{"unlink", true, func(dir string, i, _ int) error { return unix.Unlink(fmt.Sprintf("%s/unlink-%d", dir, i)) }},
	{"take", true, func(dir string, i, id int) error {
		return os.Rename(fmt.Sprintf("%s/take-%d", dir, i), fmt.Sprintf("%s/taken-%d-%d", dir, i, id))
	}},
	{"link", true, func(dir string, i, _ int) error {
		return os.Link(fmt.Sprintf("%s/link-%d", dir, i), fmt.Sprintf("%s/linked-%d", dir, i))
	}},
	{"noreplace", false, func(dir string, i, id int) error {
		from := fmt.Sprintf("%s/mine-%d-%d", dir, i, id)
		if err := os.WriteFile(from, fmt.Append(nil, id), 0o644); err != nil {
			return err
		}
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, fmt.Sprintf("%s/noreplace-%d", dir, i), unix.RENAME_NOREPLACE)
	}},
}

func namesFill(b *builder) {
	b.do("d", func(p string) error { return os.Mkdir(p, 0o777) })
	file := func(name string) {
		b.do("d/"+name, func(p string) error { return os.WriteFile(p, []byte("lower "+name), 0o644) })
	}
	for i := range races {
		for _, k := range raceKinds {
			if k.lower {
				file(fmt.Sprintf("%s-%d", k.name, i))
			}
		}
	}
	for id := range workers {
		for i := range ownNames {
			file(fmt.Sprintf("over-%d-%d", id, i))
		}
	}
}

func namesJob(dir string, id int) ([]string, error) {
	dir += "/d"
	for i := range ownNames {
		tmp, own, over := fmt.Sprintf("%s/tmp-%d", dir, id), fmt.Sprintf("%s/own-%d-%d", dir, id, i), fmt.Sprintf("%s/over-%d-%d", dir, id, i)
		if err := os.WriteFile(tmp, fmt.Appendf(nil, "own %d %d", id, i), 0o644); err != nil {
			return nil, err
		}
		if err := os.Rename(tmp, own); err != nil {
			return nil, err
		}
		var err error
		switch i % 5 {
		case 1:
			err = os.Remove(own)
		case 2:
			err = os.Rename(own, over) // over a lower file
		case 3:
			err = os.Remove(over)
		case 4:
			err = os.Rename(over, own) // a lower file over an upper one
		}
		if err != nil {
			return nil, err
		}
	}
	var won []string
	for i := range races {
		for k := range raceKinds {
			kind := raceKinds[(k+id)%len(raceKinds)]
			err := kind.try(dir, i, id)
			switch {
			case err == nil:
				won = append(won, fmt.Sprintf("%s-%d=%d", kind.name, i, id))
			case !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist):
				return nil, err
			}
		}
	}
	return won, nil
}

func namesCheck(t *testing.T, root string, lines []string) {
	want := map[string]string{}
	for id := range workers {
		for i := range ownNames {
			own, over := fmt.Sprintf("own-%d-%d", id, i), fmt.Sprintf("over-%d-%d", id, i)
			mine := fmt.Sprintf("own %d %d", id, i)
			want[own], want[over] = mine, "lower "+over
			switch i % 5 {
			case 1:
				delete(want, own)
			case 2:
				delete(want, own)
				want[over] = mine
			case 3:
				delete(want, over)
			case 4:
				delete(want, over)
				want[own] = "lower " + over
			}
		}
	}
	winner := map[string]string{}
	for _, l := range lines {
		race, id, _ := strings.Cut(l, "=")
		if winner[race] != "" {
			t.Errorf("%s was won by %s and by %s", race, winner[race], id)
		}
		winner[race] = id
	}
	for i := range races {
		for _, k := range raceKinds {
			race := fmt.Sprintf("%s-%d", k.name, i)
			id := winner[race]
			if id == "" {
				t.Errorf("%s was won by nobody", race)
			}
			switch k.name {
			case "create", "noreplace":
				want[race] = id
			case "mkdir":
				want[race] = "directory"
			case "take":
				want[fmt.Sprintf("taken-%d-%s", i, id)] = "lower " + race
			case "link":
				want[race] = "lower " + race
				want[fmt.Sprintf("linked-%d", i)] = "lower " + race
			}
			for other := range workers {
				if k.name == "noreplace" && fmt.Sprint(other) != id {
					want[fmt.Sprintf("mine-%d-%d", i, other)] = fmt.Sprint(other)
				}
			}
		}
	}
	for _, name := range list(t, root+"/d") {
		b, err := os.ReadFile(root + "/d/" + name)
		if errors.Is(err, syscall.EISDIR) {
			b, err = []byte("directory"), nil
		}
		must(t, err)
		if w, ok := want[name]; !ok || w != string(b) {
			t.Errorf("%s: %q, want %q (%v)", name, b, w, ok)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is not there", name)
	}
}

// Links: everybody gives files of the lower new names and takes some away, while
// the files are written to. Their counts are exact and they stay one file.

const (
	linkNames = 20
	linkSize  = 150_000
)

// linkSources are lower files; of the pair "b" is another name of "a".
var linkSources = []string{"single", "a", "b"}

func linksFill(b *builder) {
	b.do("l", func(p string) error { return os.Mkdir(p, 0o777) })
	for _, name := range []string{"single", "a"} {
		b.do(name, func(p string) error { return os.WriteFile(p, make([]byte, linkSize), 0o644) })
	}
	for _, dir := range []string{b.layer, b.plain} {
		must(b.t, os.Link(dir+"/a", dir+"/b"))
	}
}

func linksJob(dir string, id int) ([]string, error) {
	for i := range linkNames {
		for _, src := range linkSources {
			name := fmt.Sprintf("%s/l/%s-%d-%d", dir, src, id, i)
			if err := os.Link(dir+"/"+src, name); err != nil {
				return nil, err
			}
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				return nil, err
			}
			_, err = f.WriteAt([]byte{byte(1 + id)}, int64(id*9001+i))
			if err = errors.Join(err, f.Close()); err == nil && i%2 == 1 {
				err = os.Remove(name)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

func linksCheck(t *testing.T, root string, _ []string) {
	want := make([]byte, linkSize)
	for id := range workers {
		for i := range linkNames {
			want[id*9001+i] = byte(1 + id)
		}
	}
	var files [2]struct {
		ino   uint64
		nlink int
	}
	for _, name := range append(slices.Clone(linkSources), list(t, root+"/l")...) {
		p := root + "/" + name
		if strings.Contains(name, "-") {
			p = root + "/l/" + name
		}
		i := 1
		if strings.HasPrefix(name, "single") {
			i = 0
		}
		var st unix.Stat_t
		must(t, unix.Stat(p, &st))
		if files[i].ino == 0 {
			files[i].ino = st.Ino
		}
		files[i].nlink++
		b, err := os.ReadFile(p)
		must(t, err)
		if wantLinks := []int{1 + workers*linkNames/2, 2 + 2*workers*linkNames/2}[i]; files[i].ino != st.Ino || int(st.Nlink) != wantLinks {
			t.Errorf("%s: inode %d and %d links, want %d and %d", name, st.Ino, st.Nlink, files[i].ino, wantLinks)
		}
		if string(b) != string(want) {
			t.Errorf("%s: what was written is not there", name)
		}
	}
	if files[0].nlink != 1+workers*linkNames/2 || files[1].nlink != 2+workers*linkNames {
		t.Errorf("names: %v", files)
	}
}
