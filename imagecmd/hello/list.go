package hello

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A List is what the image knows of itself, a text:
//
//	layer DESCRIPTION…      one a layer, bottom first
//	file PATH N… [-N]       the layers that hold the file, and the one that deletes it
type List struct {
	Layers []string
	Files  []File
}

// A File is a path of the image.
type File struct {
	Path    string
	In      []int // layers that hold it, from 1, bottom first
	Deleted int   // the layer that deletes it; 0 none

	from int // the layer that shows, by the union or by In; 0 it is not there
}

// String is the list's text.
func (l List) String() string {
	var b strings.Builder
	for _, d := range l.Layers {
		fmt.Fprintf(&b, "layer %s\n", d)
	}
	for _, f := range l.Files {
		fmt.Fprintf(&b, "file %s", f.Path)
		for _, n := range f.In {
			fmt.Fprintf(&b, " %d", n)
		}
		if f.Deleted > 0 {
			fmt.Fprintf(&b, " -%d", f.Deleted)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// ParseList reads a list.
func ParseList(s string) (List, error) {
	var l List
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "layer":
			l.Layers = append(l.Layers, rest)
		case "file":
			words := strings.Fields(rest)
			if len(words) < 2 {
				return l, fmt.Errorf("list of files: %q: no layer", line)
			}
			f := File{Path: words[0]}
			for _, w := range words[1:] {
				n, err := strconv.Atoi(w)
				switch {
				case err != nil || n == 0:
					return l, fmt.Errorf("list of files: %q: %q is no layer", line, w)
				case n < 0:
					f.Deleted = -n
				default:
					f.In = append(f.In, n)
				}
			}
			l.Files = append(l.Files, f)
		default:
			return l, fmt.Errorf("list of files: %q: neither a layer nor a file", line)
		}
	}
	return l, nil
}

// ask finds the layer that shows, and tells whether the union said it.
func (f *File) ask(ids []string) bool {
	if _, err := os.Lstat(f.Path); err != nil {
		return false
	}
	if len(f.In) > 0 {
		f.from = f.In[len(f.In)-1]
	}
	buf := make([]byte, 256)
	n, err := unix.Lgetxattr(f.Path, layerXattr, buf)
	if err != nil || n > len(buf) {
		return false
	}
	at := slices.Index(ids, strings.TrimRight(string(buf[:n]), "\x00\n"))
	if at < 0 {
		return false
	}
	f.from = at + 1
	return true
}

// print writes the file's line below a layer that has something to do with it.
func (f *File) print(w io.Writer, layer int) {
	note := ""
	switch {
	case f.from == layer && len(f.In) > 1 && layer > f.In[0]:
		note = "replaces that of layer " + strconv.Itoa(f.In[0])
	case f.from == layer:
	case f.Deleted == layer:
		note = "deleted here, by a whiteout"
		if f.from != 0 {
			note = "should have been deleted here, and is still there"
		}
	case slices.Contains(f.In, layer) && f.from > layer:
		note = "hidden: replaced by layer " + strconv.Itoa(f.from)
	case slices.Contains(f.In, layer) && f.Deleted > layer:
		note = "hidden: deleted by layer " + strconv.Itoa(f.Deleted)
	case slices.Contains(f.In, layer):
		note = "should be here, and is not"
	default:
		return
	}
	if note == "" {
		fmt.Fprintf(w, "           %s\n", f.Path)
		return
	}
	fmt.Fprintf(w, "           %-22s %s\n", f.Path, note)
}
