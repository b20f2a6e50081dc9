package imagegen

import (
	"archive/tar"
	"strings"
)

// A scenario is a named story over several layers, told inside a directory of
// its own. Every rule that a chain must show at least once has one here; the
// random part of [Chain] mixes them.
type scenario struct {
	name  string
	steps func(d string) []Layer // bottom first; d is the directory
}

// capability is security.capability with cap_net_bind_service permitted and
// effective (struct vfs_cap_data, revision 2, linux/capability.h).
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// odd are names that programs stumble over.
func odd() []string {
	return []string{"\xff\xfe", "caf\xe9", "!x", "...", "..x", ".wh", "wh.x", ".WH.x", "new\nline", " ", "-rf", "*", `\`, "ünï", "\x01",
		strings.Repeat("n", 255), strings.Repeat("\xf0", 255)}
}

var scenarios = []scenario{
	{"whiteout", func(d string) []Layer {
		return []Layer{
			{Dir(d), File(d+"/gone", "1"), File(d+"/stays", "2"), Dir(d + "/tree"), File(d+"/tree/a", "3"), Symlink(d+"/link", "tree"), Fifo(d + "/fifo")},
			{Whiteout(d, "gone"), Whiteout(d, "tree"), Whiteout(d, "link"), Whiteout(d, "fifo"), Whiteout(d, "never-was")},
		}
	}},
	{"whiteout-and-again-same-layer", func(d string) []Layer {
		return []Layer{
			{Dir(d), Dir(d + "/before"), File(d+"/before/old", "1"), Dir(d + "/after"), File(d+"/after/old", "1"), File(d+"/file", "old")},
			{Whiteout(d, "before"), Dir(d + "/before"), File(d+"/before/new", "2"),
				Dir(d + "/after"), File(d+"/after/new", "2"), Whiteout(d, "after"),
				File(d+"/file", "new"), Whiteout(d, "file")},
		}
	}},
	{"whiteout-then-again", func(d string) []Layer {
		return []Layer{
			{Dir(d), Dir(d + "/x"), File(d+"/x/old", "1")}, {Whiteout(d, "x")}, {Dir(d+"/x", Mode(0o700)), File(d+"/x/new", "2")},
			{Whiteout(d, "x")}, {File(d+"/x", "a file now")}, {Whiteout(d, "x")}, {},
		}
	}},
	{"opaque", func(d string) []Layer {
		return []Layer{
			{Dir(d), Dir(d + "/o"), File(d+"/o/old", "1"), Dir(d + "/o/sub"), File(d+"/o/sub/old", "1")},
			{Dir(d+"/o", Mode(0o711)), File(d+"/o/earlier", "2"), Opaque(d + "/o"), File(d+"/o/later", "3")},
			{Opaque(d + "/o"), File(d+"/o/second", "4")},
			{File(d+"/o/third", "5"), Dir(d + "/o/sub"), Opaque(d + "/o"), File(d+"/o/sub/new", "6"), Opaque(d + "/o")},
		}
	}},
	{"opaque-without-entry", func(d string) []Layer { // the directory keeps what it was
		return []Layer{
			{Dir(d), Dir(d+"/o", Mode(0o1770), Owner(7, 8), Time(-100, 1), Xattr("trusted.o", "v")), File(d+"/o/old", "1")},
			{Opaque(d + "/o")},
		}
	}},
	{"type-changes", func(d string) []Layer {
		return []Layer{
			{Dir(d), File(d+"/fd", "f"), File(d+"/fs", "f"), Dir(d + "/df"), File(d+"/df/in", "1"), Dir(d + "/ds"), File(d+"/ds/in", "1"), Symlink(d+"/sf", "df"), Symlink(d+"/sd", "df")},
			{Dir(d + "/fd"), File(d+"/fd/in", "2"), Symlink(d+"/fs", "ds"), File(d+"/df", "f"), Symlink(d+"/ds", "/etc"), File(d+"/sf", "f"), Dir(d + "/sd"), File(d+"/sd/in", "2")},
			{Symlink(d+"/fd", "sd"), Dir(d + "/fs"), Dir(d + "/df"), File(d+"/df/back", "3"), Dir(d + "/ds"), File(d+"/ds/back", "3"), Fifo(d + "/sf"), Device(d+"/sd", tar.TypeChar, 1, 3)},
			{File(d+"/fd", ""), Whiteout(d, "fs"), Fifo(d + "/df"), Device(d+"/ds", tar.TypeBlock, 7, 300), Dir(d + "/sf"), Symlink(d+"/sd", "nowhere")},
		}
	}},
	{"directory-attributes", func(d string) []Layer {
		return []Layer{
			{Dir(d, Mode(0o755), Xattr("user.first", "1")), File(d+"/child", "kept")},
			{Dir(d, Mode(0o2755), Owner(10, 20), Time(5, 999999999), Xattr("trusted.second", "2"))},
			{File(d+"/other", "implied parents change nothing")},
		}
	}},
	{"hard-links", func(d string) []Layer {
		return []Layer{
			{Dir(d), File(d+"/a", "linked"), Link(d+"/b", d+"/a"), Link(d+"/c", d+"/b"), Symlink(d+"/sym", "nowhere"), Link(d+"/sym2", d+"/sym", Mode(0o777)), File(d+"/z", "alone")},
			{Link(d+"/d", d+"/c"), Link(d+"/zz", "/"+d+"/z"), Dir(d + "/sub"), Link(d+"/sub/e", "./"+d+"/d")},
			{File(d+"/a", "no longer linked"), Whiteout(d, "b")},
			{Link(d+"/a2", d+"/a"), Whiteout(d, "c"), Link(d+"/sub/f", d+"/sub/e")},
			{Whiteout(d, "d"), Whiteout(d, "sub"), Symlink(d+"/sub", "elsewhere")},
		}
	}},
	{"link-to-what-the-layer-replaces", func(d string) []Layer {
		return []Layer{
			{Dir(d), File(d+"/a", "old")},
			{Link(d+"/was", d+"/a"), File(d+"/a", "new"), Link(d+"/is", d+"/a")},
		}
	}},
	{"implied-parents", func(d string) []Layer {
		return []Layer{
			{File(d+"/p/q/r/file", "no directory has an entry")},
			{Dir(d+"/p/q", Mode(0o500), Owner(1, 1), Time(77, 7))},
			{File(d+"/p/q/r/file2", "2"), File(d+"/p/q/s/file", "3")},
		}
	}},
	{"through-symlinks", func(d string) []Layer {
		return []Layer{
			{Dir(d), Dir(d + "/real"), File(d+"/real/old", "1"), File(d+"/real/stays", "1"), Symlink(d+"/rel", "real"), Symlink(d+"/abs", "/"+d+"/real"),
				Symlink(d+"/up", "../"+d[strings.LastIndexByte(d, '/')+1:]+"/rel"), Symlink(d+"/out", "../../../../../../"+d+"/real")},
			{File(d+"/rel/r", "2"), File(d+"/abs/a", "3"), File(d+"/up/u", "4"), File(d+"/out/o", "5"), Whiteout(d+"/abs", "old"), Link(d+"/rel/l", d+"/abs/stays"), Dir(d + "/up/sub/deeper")},
			{Dir(d + "/rel"), File(d+"/rel/own", "an explicit directory replaces the link")},
		}
	}},
	{"absolute-and-dotted-names", func(d string) []Layer {
		return []Layer{
			{Dir("/" + d), File("./"+d+"/dot", "1"), File("//"+d+"//twice", "2"), File(d+"/x/../inside", "3"), File("/"+d+"/./abs", "4"), Dir("./" + d + "/dd/")},
			{Whiteout("/"+d, "dot"), Whiteout("./"+d, "twice")},
		}
	}},
	{"names", func(d string) []Layer {
		l := Layer{Dir(d)}
		var second Layer
		for i, n := range odd() {
			l = append(l, File(d+"/"+n, n), Symlink(d+"/s"+strings.Repeat("s", i), n))
			if i%4 == 3 && !strings.HasPrefix(n, ".wh.") && len(n) < 200 {
				second = append(second, Whiteout(d, n))
			}
		}
		return []Layer{l, second}
	}},
	{"attributes", func(d string) []Layer {
		big := strings.Repeat("\x00\xff", 1000)
		return []Layer{{
			Dir(d, Mode(0o3777), Owner(3000000000, 4000000000), Time(1<<33, 999999999)),
			File(d+"/suid", "x", Mode(0o4755)), File(d+"/sgid", "x", Mode(0o2755)), File(d+"/sticky", "x", Mode(0o1644)), File(d+"/none", "x", Mode(0)),
			File(d+"/cap", "x", Mode(0o755), Xattr("security.capability", capability)),
			File(d+"/xattrs", "x", Xattr("user.a", ""), Xattr("user.b\xff", "\x00binary"), Xattr("user.big", big), Xattr("trusted.t", "1")),
			Symlink(d+"/link-of-no-mode", "cap", Mode(0)),
			Symlink(d+"/link", "cap", Owner(5, 6), Time(-1, 500000000), Xattr("trusted.on.a.symlink", "1")),
			File(d+"/before-1970", "x", Time(-2000000000, 123456789)), File(d+"/second-0", "x", Time(0, 1)), File(d+"/far", "x", Time(4000000000, 0)),
			Device(d+"/null", tar.TypeChar, 1, 3, Mode(0o666)), Device(d+"/disk", tar.TypeBlock, 259, 100000), Device(d+"/c00", tar.TypeChar, 0, 1), Fifo(d+"/pipe", Mode(0o4621)),
		}}
	}},
	{"sizes", func(d string) []Layer {
		l, second := Layer{Dir(d)}, Layer{}
		for i, n := range []int{0, 1, 511, 512, 513, 4095, 4096, 4097, 65535, 1<<20 + 1} {
			name := d + "/" + strings.Repeat("i", i+1)
			l = append(l, File(name, noise(uint64(n), n)))
			if i%3 == 0 {
				second = append(second, File(name, noise(uint64(n+1), n/2+7)))
			}
		}
		return []Layer{l, second}
	}},
	{"many-names", func(d string) []Layer { // more than one directory block
		l, second := Layer{Dir(d)}, Layer{}
		for i := range 400 {
			n := strings.Repeat(string(rune('a'+i%26)), 1+i/26) + strings.Repeat("x", i%7*13)
			l = append(l, File(d+"/"+n, ""))
			if i%5 == 0 {
				second = append(second, Whiteout(d, n))
			}
		}
		return []Layer{l, second}
	}},
	{"deep", func(d string) []Layer {
		deep := d + strings.Repeat("/deeper", 60)
		return []Layer{{Dir(d), File(deep+"/f", "1")}, {Dir(deep, Mode(0o700)), Link(d+"/up", deep+"/f")}, {Whiteout(deep, "f")}}
	}},
}
