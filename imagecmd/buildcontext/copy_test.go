package buildcontext

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// contextLines is the tree that most tests copy from.
var contextLines = []string{
	"f a.txt 644 a", "f b.md 600 b", "f run.sh 755 #!", "d sub 750", "f sub/x 644 x", "f sub/deep/y.txt 640 y",
	"h hard1 a.txt", "l link.txt a.txt", "l out /etc/passwd", "l up ../../../a.txt", "l dirlink sub", "d empty 711",
	"l replace/one/sub x", "f replace/two/sub 644 s", "f replace/three/x/in 644 i", "f replace/four/file/in 644 i", "f replace/five/sub/new 644 n",
	"f lib/q 644 q", "f hom1.txt 644 1", "f hom2.md 644 2", "f arr[0].txt 644 arr", "d m/n 700", "f m/n/k.go 644 k", "f m/z.go 644 z",
}

var lowerLines = []string{
	"d etc 755", "f etc/passwd 644 root:x:0:0::/:\nalice:x:1000:1001::/:\n", "f etc/group 644 root:x:0:\nstaff:x:50:\n",
	"d usr/lib 755", "l lib usr/lib", "d tmp 1777", "f file 644 f", "l dangling /nowhere/at", "l abs /usr",
	"d srv/sub 700", "f srv/sub/old 644 old", "l srv/x /etc/passwd", "d dst/a.txt 755",
}

func TestCopy(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Copy
		want []string
		err  string
	}{
		{"a file to a name", Copy{Paths: []string{"a.txt"}, Dest: "/new"}, []string{"A /new f644 #1 =a"}, ""},
		{"a file into a directory that is missing", Copy{Paths: []string{"b.md"}, Dest: "/n/m/"},
			[]string{"A /n d755", "A /n/m d755", "A /n/m/b.md f600 =b"}, ""},
		{"a file into one that is there", Copy{Paths: []string{"b.md"}, Dest: "/tmp"}, []string{"C /tmp d1777", "A /tmp/b.md f600 =b"}, ""},
		{"relative to the working directory", Copy{Paths: []string{"b.md"}, Dest: "x/", WorkDir: "/w"},
			[]string{"A /w d755", "A /w/x d755", "A /w/x/b.md f600 =b"}, ""},
		{"to .", Copy{Paths: []string{"b.md", "run.sh"}, Dest: ".", WorkDir: "/w"},
			[]string{"A /w d755", "A /w/b.md f600 =b", "A /w/run.sh f755 =#!"}, ""},
		{"to ..", Copy{Paths: []string{"b.md"}, Dest: "../", WorkDir: "/w/x"}, []string{"A /w d755", "A /w/b.md f600 =b"}, ""},
		{"to .. of a link, which is of the text", Copy{Paths: []string{"b.md"}, Dest: "/lib/../q"}, []string{"A /q f600 =b"}, ""},
		{"a directory is its contents", Copy{Paths: []string{"sub"}, Dest: "/d"},
			[]string{"A /d d755", "A /d/deep d755", "A /d/deep/y.txt f640 =y", "A /d/x f644 =x"}, ""},
		{"slashes at a source's end mean nothing", Copy{Paths: []string{"/sub/"}, Dest: "/d/"},
			[]string{"A /d d755", "A /d/deep d755", "A /d/deep/y.txt f640 =y", "A /d/x f644 =x"}, ""},
		{"a link of the context is followed", Copy{Paths: []string{"link.txt"}, Dest: "/d/"}, []string{"A /d d755", "A /d/link.txt f644 #1 =a"}, ""},
		{"one to a directory, too", Copy{Paths: []string{"dirlink"}, Dest: "/d"},
			[]string{"A /d d755", "A /d/deep d755", "A /d/deep/y.txt f640 =y", "A /d/x f644 =x"}, ""},
		{"never out of it", Copy{Paths: []string{"out"}, Dest: "/d"}, nil,
			"file not found in build context or excluded by .dockerignore: stat out: file does not exist"},
		{"nor by ..", Copy{Paths: []string{"up"}, Dest: "/d"}, []string{"A /d f644 #1 =a"}, ""},
		{"a link below a directory is copied", Copy{Paths: []string{"m", "."}, Dest: "/d/", Exclude: []string{"replace", "lib", "*.txt", "*.md", "sub", "m", "hard1", "empty", "run.sh"}},
			[]string{"A /d d755", "A /d/dirlink l777 ->sub", "A /d/n d700", "A /d/n/k.go f644 =k", "A /d/out l777 ->/etc/passwd", "A /d/up l777 ->../../../a.txt", "A /d/z.go f644 =z"}, ""},
		{"wildcards", Copy{Paths: []string{"hom*", "m/*/*.go"}, Dest: "/d/"},
			[]string{"A /d d755", "A /d/hom1.txt f644 =1", "A /d/hom2.md f644 =2", "A /d/k.go f644 =k"}, ""},
		{"an escaped wildcard", Copy{Paths: []string{"arr[[]0].txt"}, Dest: "/d"}, []string{"A /d f644 =arr"}, ""},
		{"wildcards that match nothing", Copy{Paths: []string{"a.txt", "nothing*"}, Dest: "/d/"}, []string{"A /d d755", "A /d/a.txt f644 #1 =a"}, ""},
		{"a bad pattern", Copy{Paths: []string{"a["}, Dest: "/d/"}, nil, "a[: syntax error in pattern"},
		{"what is missing", Copy{Paths: []string{"nosuch"}, Dest: "/"}, nil,
			"file not found in build context or excluded by .dockerignore: stat nosuch: file does not exist"},
		{"what is outside", Copy{Paths: []string{"../x"}, Dest: "/"}, nil, "forbidden path outside the build context: ../x ()"},
		{".. that stays inside", Copy{Paths: []string{"sub/../b.md"}, Dest: "/d"}, []string{"A /d f600 =b"}, ""},
		{"several onto a name", Copy{Paths: []string{"a.txt", "b.md"}, Dest: "/d"}, nil,
			"When using COPY with more than one source file, the destination must be a directory and end with a /"},
		{"what wildcards match, onto a name", Copy{Paths: []string{"hom*"}, Dest: "/d"}, []string{"A /d f644 =2"}, ""},
		{"several into a directory that is there", Copy{Paths: []string{"b.md", "run.sh"}, Dest: "/tmp"},
			[]string{"C /tmp d1777", "A /tmp/b.md f600 =b", "A /tmp/run.sh f755 =#!"}, ""},
		{"hard links stay linked", Copy{Paths: []string{"."}, Dest: "/d", Exclude: []string{"**", "!a.txt", "!hard1"}},
			[]string{"A /d d755", "A /d/a.txt f644 #1 =a", "A /d/hard1 f644 #1 =a"}, ""},
		{"through a link of the lower tree", Copy{Paths: []string{"b.md"}, Dest: "/lib/q/"},
			[]string{"C /usr d755", "C /usr/lib d755", "A /usr/lib/q d755", "A /usr/lib/q/b.md f600 =b"}, ""},
		{"the last one, too", Copy{Paths: []string{"b.md"}, Dest: "/srv/x"}, []string{"C /etc d755", "C /etc/passwd f600 =b"}, ""},
		{"onto a dangling one", Copy{Paths: []string{"b.md"}, Dest: "/dangling"}, []string{"A /nowhere d755", "A /nowhere/at f600 =b"}, ""},
		{"a link inside the destination is replaced", Copy{Paths: []string{"sub/x"}, Dest: "/srv/"}, []string{"C /srv d755", "C /srv/x f644 =x"}, ""},
		{"a directory that is there takes the source's attributes, below the destination", Copy{Paths: []string{"."}, Dest: "/srv", Exclude: []string{"**", "!sub/x"}},
			[]string{"C /srv d755", "C /srv/sub d750", "A /srv/sub/x f644 =x"}, ""},
		{"an empty directory", Copy{Paths: []string{"empty"}, Dest: "/d"}, []string{"A /d d755"}, ""},
		{"a directory onto a file", Copy{Paths: []string{"sub"}, Dest: "/file"}, nil, "cannot copy to non-directory: /file"},
		{"a file below a file", Copy{Paths: []string{"b.md"}, Dest: "/file/x"}, nil, "mkdir /file: not a directory"},
		{"a file onto a directory of its name", Copy{Paths: []string{"a.txt"}, Dest: "/dst/"}, []string{"C /dst d755", "C /dst/a.txt f644 #1 =a"}, ""},
		{"a file onto a directory with something in it", Copy{Paths: []string{"replace/two"}, Dest: "/srv"}, []string{"C /srv d755", "C /srv/sub f644 =s"}, ""},
		{"a link onto a directory", Copy{Paths: []string{"replace/one"}, Dest: "/srv"}, []string{"C /srv d755", "C /srv/sub l777 ->x"}, ""},
		{"a directory onto a link below the destination", Copy{Paths: []string{"replace/three"}, Dest: "/srv"},
			[]string{"C /srv d755", "C /srv/x d755", "A /srv/x/in f644 =i"}, ""},
		{"a directory onto a file below the destination", Copy{Paths: []string{"replace/four"}, Dest: "/"}, []string{"C /file d755", "A /file/in f644 =i"}, ""},
		{"a directory that is a file first", Copy{Paths: []string{"replace/two", "replace/five"}, Dest: "/srv/"},
			[]string{"C /srv d755", "C /srv/sub d755", "A /srv/sub/new f644 =n", "D /srv/sub/old"}, ""},
		{"--parents replaces nothing on its way", Copy{Paths: []string{"lib/q"}, Dest: "/", Parents: true}, nil, "cannot copy to non-directory: /lib"},
		{"--chown of numbers", Copy{Paths: []string{"b.md"}, Dest: "/n/", Chown: "7:8"}, []string{"A /n d755 7:8", "A /n/b.md f600 7:8 =b"}, ""},
		{"--chown of one number", Copy{Paths: []string{"b.md"}, Dest: "/n", Chown: "7"}, []string{"A /n f600 7:7 =b"}, ""},
		{"--chown of a name", Copy{Paths: []string{"b.md"}, Dest: "/n", Chown: "alice"}, []string{"A /n f600 1000:1001 =b"}, ""},
		{"--chown of names", Copy{Paths: []string{"b.md"}, Dest: "/n", Chown: "alice:staff"}, []string{"A /n f600 1000:50 =b"}, ""},
		{"--chown of nobody", Copy{Paths: []string{"b.md"}, Dest: "/n", Chown: "bob"}, nil,
			"unable to convert uid/gid chown string to host mapping: can't find uid for user bob: no such user: bob"},
		{"--chown of no group", Copy{Paths: []string{"b.md"}, Dest: "/n", Chown: "alice:x"}, nil,
			"unable to convert uid/gid chown string to host mapping: can't find gid for group x: no such group: x"},
		{"--chown of too much", Copy{Paths: []string{"b.md"}, Dest: "/n", Chown: "4294967295"}, nil, "value out of range"},
		{"--chown leaves the directories that are there", Copy{Paths: []string{"b.md"}, Dest: "/tmp/", Chown: "7:8", Chmod: "700"},
			[]string{"C /tmp d1777", "A /tmp/b.md f700 7:8 =b"}, ""},
		{"--chmod octal", Copy{Paths: []string{"sub"}, Dest: "/n", Chmod: "4711"},
			[]string{"A /n d711", "A /n/deep d4711", "A /n/deep/y.txt f4711 =y", "A /n/x f4711 =x"}, ""},
		{"--chmod symbolic", Copy{Paths: []string{"sub"}, Dest: "/n", Chmod: "u=rwX,go=rX"},
			[]string{"A /n d755", "A /n/deep d755", "A /n/deep/y.txt f644 =y", "A /n/x f644 =x"}, ""},
		{"--chmod g=u", Copy{Paths: []string{"b.md"}, Dest: "/n", Chmod: "g=u,+x"}, []string{"A /n f771 =b"}, ""},
		{"--chmod of too much", Copy{Paths: []string{"b.md"}, Dest: "/n", Chmod: "10000"}, nil,
			"invalid chmod parameter: '10000'. it should be octal string and between 0 and 07777"},
		{"--chmod of no octal", Copy{Paths: []string{"b.md"}, Dest: "/n", Chmod: "999"}, nil,
			"invalid chmod parameter: '999'. it should be octal string and between 0 and 07777"},
		{"--chmod of nonsense", Copy{Paths: []string{"b.md"}, Dest: "/n", Chmod: "q+x"}, nil, "invalid chmod parameter: 'q+x': invalid syntax"},
		{"--exclude", Copy{Paths: []string{"hom*"}, Dest: "/d/", Exclude: []string{"*.txt"}}, []string{"A /d d755", "A /d/hom2.md f644 =2"}, ""},
		{"--exclude below", Copy{Paths: []string{"sub"}, Dest: "/d/", Exclude: []string{"deep/*"}},
			[]string{"A /d d755", "A /d/deep d755", "A /d/x f644 =x"}, ""},
		{"--exclude of a bad pattern", Copy{Paths: []string{"sub"}, Dest: "/d/", Exclude: []string{"a["}}, nil, `--exclude: pattern "a[": syntax error in pattern`},
		{"--parents", Copy{Paths: []string{"sub/x", "m/n/k.go"}, Dest: "/p/", Parents: true},
			[]string{"A /p d755", "A /p/m d755", "A /p/m/n d700", "A /p/m/n/k.go f644 =k", "A /p/sub d750", "A /p/sub/x f644 =x"}, ""},
		{"--parents from a pivot", Copy{Paths: []string{"./m/./n/k.go"}, Dest: "/p", Parents: true},
			[]string{"A /p d755", "A /p/n d700", "A /p/n/k.go f644 =k"}, ""},
		{"--parents of wildcards", Copy{Paths: []string{"m/**/*.go"}, Dest: "/p/", Parents: true},
			[]string{"A /p d755", "A /p/m d755", "A /p/m/n d700", "A /p/m/n/k.go f644 =k", "A /p/m/z.go f644 =z"}, ""},
		{"--parents of nothing", Copy{Paths: []string{"m/nosuch"}, Dest: "/p/", Parents: true}, nil, "stat m/nosuch: file does not exist"},
		{"--parents of wildcards that match nothing", Copy{Paths: []string{"q*/x"}, Dest: "/p/", Parents: true}, []string{"A /p d755"}, ""},
		{"--link", Copy{Paths: []string{"b.md"}, Dest: "/lib/q/", Link: true}, []string{"A /lib d755", "A /lib/q d755", "A /lib/q/b.md f600 =b"}, ""},
		{"--link with a name", Copy{Paths: []string{"b.md"}, Dest: "/q", Link: true, Chown: "alice"}, nil, "--link can't look up the names of --chown=alice: use numbers"},
		{"a here-document", Copy{Inline: []Inline{{"EOF", []byte("text\n")}}, Dest: "/h"}, []string{"A /h f644 =text\n"}, ""},
		{"two into a directory", Copy{Inline: []Inline{{"one", []byte("1")}, {"two", nil}}, Dest: "/h/", Chmod: "600"},
			[]string{"A /h d600", "A /h/one f600 =1", "A /h/two f600 ="}, ""},
		{"COPY of a URL", Copy{Paths: []string{"https://127.0.0.1/x"}, Dest: "/"}, nil, "source can't be a URL for COPY"},
		{"COPY of a repository", Copy{Paths: []string{"git@127.0.0.1:x"}, Dest: "/"}, nil, "source can't be a git ref for COPY"},
		{"a checksum of a file", Copy{Add: true, Paths: []string{"a.txt"}, Dest: "/", Checksum: "sha256:00"}, nil, "checksum requires HTTP(S) or Git sources"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.c.From = dirSource(t, makeTree(t, t.TempDir(), contextLines...), "")
			lower := makeTree(t, t.TempDir(), lowerLines...)
			got, err := run(t, tc.c, SelectOptions{Time: past}, lower)
			expect(t, got, err, tc.want, tc.err)
		})
	}
}

func TestErrors(t *testing.T) {
	src := dirSource(t, makeTree(t, t.TempDir(), contextLines...), "")
	for path, want := range map[string]error{"nosuch": ErrNotFound, "../x": ErrOutside, "a.txt/b": ErrNotFound} {
		if _, err := run(t, Copy{From: src, Paths: []string{path}, Dest: "/"}, SelectOptions{}, ""); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", path, err, want)
		}
	}
}

// What is not possible on a lower tree can be told from its wrapping.
func TestImpossible(t *testing.T) {
	src := dirSource(t, makeTree(t, t.TempDir(), contextLines...), "")
	sel, err := Copy{From: src, Paths: []string{"a.txt"}, Dest: "/file/x"}.Select(context.Background(), SelectOptions{})
	must(t, err)
	defer sel.Close()
	lower, err := cow.OpenTree(makeTree(t, t.TempDir(), lowerLines...))
	must(t, err)
	defer lower.Close()
	_, err = layerpack.WriteLayer(context.Background(), io.Discard, sel.Entries(context.Background(), lower), layerpack.WriteOptions{})
	if i, ok := errors.AsType[*Impossible](err); !ok || i.Error() != "mkdir /file: not a directory" {
		t.Errorf("error %v", err)
	}
}
