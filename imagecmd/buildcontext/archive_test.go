package buildcontext

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/layerpack"
)

// makeTar is a tar of members as makeTree's lines say them; "h" and "l" may say what no tree could.
func makeTar(t testing.TB, lines ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, l := range lines {
		f := strings.SplitN(l, " ", 4)
		h := tar.Header{Name: f[1], ModTime: past, Mode: 0o777, Uid: 5, Gid: 6}
		switch f[0] {
		case "d":
			h.Typeflag, h.Mode = tar.TypeDir, 0o750
		case "f":
			h.Typeflag, h.Mode, h.Size = tar.TypeReg, 0o640, int64(len(f[3]))
		case "l":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f[2]
		case "h":
			h.Typeflag, h.Linkname = tar.TypeLink, f[2]
		}
		must(t, w.WriteHeader(&h))
		if f[0] == "f" {
			_, err := io.WriteString(w, f[3])
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

// packTo compresses b.
func packTo(t testing.TB, b []byte, c layerpack.Compression) []byte {
	t.Helper()
	var out bytes.Buffer
	switch c {
	case layerpack.Bzip2, layerpack.XZ:
		if _, err := exec.LookPath(c.String()); err != nil {
			t.Skip("SKIPPED: needs the program ", c)
		}
		cmd := exec.Command(c.String(), "-c")
		cmd.Stdin, cmd.Stdout = bytes.NewReader(b), &out
		must(t, cmd.Run())
	default:
		w, err := layerpack.NewCompressor(&out, c)
		must(t, err)
		_, err = w.Write(b)
		must(t, err)
		must(t, w.Close())
	}
	return out.Bytes()
}

func TestAddArchive(t *testing.T) {
	tarball := makeTar(t, "d ./", "d d/", "f d/f 0 one", "l d/l ../x", "h g d/f")
	want := []string{
		"A /to d755", "A /to/d d750 5:6", "A /to/d/f f640 5:6 #1 =one", "A /to/d/l l777 5:6 ->../x", "A /to/g f640 5:6 #1 =one",
	}
	for _, c := range []layerpack.Compression{layerpack.Plain, layerpack.Gzip, layerpack.Zstd, layerpack.Bzip2, layerpack.XZ} {
		t.Run(c.String(), func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "any.name"), packTo(t, tarball, c), 0o644))
			src := dirSource(t, dir, "")
			got, err := run(t, Copy{From: src, Add: true, Paths: []string{"any.name"}, Dest: "/to"}, SelectOptions{Time: past}, "")
			must(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			for name, copied := range map[string]Copy{
				"COPY":           {From: src, Paths: []string{"any.name"}, Dest: "/to"},
				"--unpack=false": {From: src, Add: true, Paths: []string{"any.name"}, Dest: "/to", Unpack: new(bool)},
			} {
				got, err := run(t, copied, SelectOptions{Time: past}, "")
				must(t, err)
				if len(got) != 1 || !strings.HasPrefix(got[0], "A /to f644 =") {
					t.Errorf("%s: %q", name, got)
				}
			}
		})
	}
}

func TestAddArchiveOver(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Copy
		tar  []string
		want []string
		err  string
	}{
		{"links of the lower tree are followed where the archive doesn't say what is there", Copy{Dest: "/"}, []string{"f lib/x 0 x"},
			[]string{"C /usr d755", "C /usr/lib d755", "A /usr/lib/x f640 5:6 =x"}, ""},
		{"and replaced where it does", Copy{Dest: "/"}, []string{"d lib/", "f lib/x 0 x"}, []string{"C /lib d750 5:6", "A /lib/x f640 5:6 =x"}, ""},
		{"a directory over a file", Copy{Dest: "/"}, []string{"d file/"}, []string{"C /file d750 5:6"}, ""},
		{"a file over a directory", Copy{Dest: "/"}, []string{"f srv 0 s"}, []string{"C /srv f640 5:6 =s"}, ""},
		{"attributes of a directory that is there", Copy{Dest: "/"}, []string{"d tmp/", "f srv/new 0 n"},
			[]string{"C /srv d755", "A /srv/new f640 5:6 =n", "C /tmp d750 5:6"}, ""},
		{"--chown and --chmod", Copy{Dest: "/n", Chown: "1", Chmod: "700"}, []string{"f a 0 a"}, []string{"A /n d700 1:1", "A /n/a f700 1:1 =a"}, ""},
		{"--exclude", Copy{Dest: "/n", Exclude: []string{"*.o"}}, []string{"f a.o 0 a", "f a.c 0 c"}, []string{"A /n d755", "A /n/a.c f640 5:6 =c"}, ""},
		{"a member without a name", Copy{Dest: "/n"}, []string{"f  0 nothing", "f a 0 a"}, []string{"A /n d755", "A /n/a f640 5:6 =a"}, ""},
		{"onto a file", Copy{Dest: "/file"}, []string{"f a 0 a"}, nil, "mkdir /file: not a directory"},
		{"out of it by ..", Copy{Dest: "/n"}, []string{"f ../../etc/passwd 0 evil"}, nil, "leads out of the root"},
		{"out of it by a link", Copy{Dest: "/n"}, []string{"l up ../../..", "f up/etc/passwd 0 evil", "l abs /etc", "f abs/shadow 0 evil"},
			[]string{"A /n d755", "A /n/abs l777 5:6 ->/etc", "A /n/etc d755", "A /n/etc/passwd f640 5:6 =evil", "A /n/etc/shadow f640 5:6 =evil", "A /n/up l777 5:6 ->../../.."}, ""},
		{"a hard link to what isn't in it", Copy{Dest: "/n"}, []string{"h a /etc/passwd"}, nil, "etc/passwd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "a.tar"), makeTar(t, tc.tar...), 0o644))
			tc.c.From, tc.c.Add, tc.c.Paths = dirSource(t, dir, ""), true, []string{"a.tar"}
			got, err := run(t, tc.c, SelectOptions{Time: past}, makeTree(t, t.TempDir(), lowerLines...))
			expect(t, got, err, tc.want, tc.err)
		})
	}
}

// A directory that one archive made a file, and another a directory again, has nothing
// of what it had.
func TestAddArchivesOverEachOther(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "1.tar"), makeTar(t, "f srv 0 s"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "2.tar"), makeTar(t, "d srv/", "f srv/x 0 new"), 0o644))
	c := Copy{From: dirSource(t, dir, ""), Add: true, Paths: []string{"1.tar", "2.tar"}, Dest: "/"}
	got, err := run(t, c, SelectOptions{}, makeTree(t, t.TempDir(), lowerLines...))
	must(t, err)
	if d := cmp.Diff([]string{"C /srv d750 5:6", "D /srv/sub", "C /srv/x f640 5:6 =new"}, got); d != "" {
		t.Error(d)
	}
}

// What is no archive is copied, whatever it is called.
func TestAddNoArchive(t *testing.T) {
	dir := makeTree(t, t.TempDir(), "f a.tar 644 no tar", "f empty.tar.gz 644 ")
	must(t, os.WriteFile(filepath.Join(dir, "text.gz"), packTo(t, []byte("text"), layerpack.Gzip), 0o644))
	c := Copy{From: dirSource(t, dir, ""), Add: true, Paths: []string{"a.tar", "*.gz"}, Dest: "/n/"}
	got, err := run(t, c, SelectOptions{}, "")
	must(t, err)
	if len(got) != 4 || got[1] != "A /n/a.tar f644 =no tar" || got[2] != "A /n/empty.tar.gz f644 =" || !strings.HasPrefix(got[3], "A /n/text.gz f644 =\x1f\x8b") {
		t.Errorf("%q", got)
	}
}

// A damaged archive is an error, and not a file that is missing half of it.
func TestAddDamagedArchive(t *testing.T) {
	dir := t.TempDir()
	b := packTo(t, makeTar(t, "f a 0 "+strings.Repeat("abc", 10000)), layerpack.Gzip)
	must(t, os.WriteFile(filepath.Join(dir, "a.tgz"), b[:len(b)-20], 0o644))
	_, err := run(t, Copy{From: dirSource(t, dir, ""), Add: true, Paths: []string{"a.tgz"}, Dest: "/n/"}, SelectOptions{}, "")
	if err == nil || !strings.Contains(err.Error(), "unpacking a.tgz") {
		t.Errorf("error %v", err)
	}
}
