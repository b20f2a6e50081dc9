package imagegen

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Outcome is what must happen to a hostile layer.
type Outcome uint8

// The outcomes.
const (
	Lands      Outcome = iota // accepted; the tree is what the model says
	Refused                   // malformed or asking for what no layer may do
	WrongBytes                // a digest does not match
	TooBig                    // expands beyond its bound
)

func (o Outcome) String() string {
	return [...]string{"lands inside", "refused", "wrong digest", "too big"}[o]
}

// A Hostile is a layer that must do no harm.
type Hostile struct {
	Name    string
	Below   []Layer          // bottom first; may be nil
	Blob    func() io.Reader // the bytes as they arrive
	Digest  digest.Digest    // that the blob is said to have; empty: not said
	DiffID  digest.Digest    // that the tar is said to have; empty: not said
	Layer   Layer            // what Blob holds, for the model; nil where no Layer can say it
	Outcome Outcome
}

// Chain is the layers as the model takes them.
func (h Hostile) Chain() []Layer { return append(append([]Layer{}, h.Below...), h.Layer) }

func fixed(b []byte) func() io.Reader { return func() io.Reader { return bytes.NewReader(b) } }

func refused(name string, b []byte) Hostile {
	return Hostile{Name: name, Blob: fixed(b), Outcome: Refused}
}

func layered(name string, o Outcome, below []Layer, l Layer) Hostile {
	return Hostile{Name: name, Below: below, Blob: fixed(l.Tar()), Layer: l, Outcome: o}
}

// Hostiles are the layers, each with its outcome. canary is the absolute path
// of a directory that exists on the host and must not change: cases that try to
// get out aim at it.
func Hostiles(canary string) []Hostile {
	rel := strings.TrimPrefix(canary, "/")
	up := strings.Repeat("../", 40) + rel
	good := Layer{Dir("d"), File("d/file", noise(9, 100000)), File("last", "x")}.Tar()
	out := []Layer{{Symlink("out", canary), Symlink("up", up), Dir("d"), Symlink("d/out", up), File("d/f", "f")}}
	loop := []Layer{{Symlink("a", "b"), Symlink("b", "a"), Symlink("self", "self")}}

	cases := []Hostile{
		layered("absolute path", Lands, nil, Layer{File(canary+"/absolute", "x")}),
		layered("absolute path of a directory", Lands, nil, Layer{Dir(canary, Mode(0o777))}),
		layered("through an absolute symlink", Lands, out, Layer{File("out/x", "x"), Dir("out/dir")}),
		layered("through a climbing symlink", Lands, out, Layer{File("up/x", "x"), File("d/out/y", "y")}),
		layered("through a symlink of the same layer", Lands, nil, Layer{Symlink("s", canary), File("s/x", "x")}),
		layered("link swapped under its name", Lands, nil, Layer{Dir("s"), Symlink("s", up), File("s/x", "x"), Dir("s"), File("s/y", "y")}),
		layered("whiteout through a symlink", Lands, out, Layer{Whiteout("out", "sentinel"), Whiteout("up", "sentinel")}),
		layered("opaque through a symlink", Lands, out, Layer{Opaque("out"), Opaque("up")}),
		layered("whiteout by absolute path", Lands, nil, Layer{Dir("d"), Whiteout(canary, "sentinel")}),
		layered("device nodes", Lands, nil, Layer{Device("null", tar.TypeChar, 1, 3), Device("mem", tar.TypeChar, 1, 1, Mode(0o666)), Device("sda", tar.TypeBlock, 8, 0, Mode(0o666))}),
		layered("hard link through symlinks inside", Lands, out, Layer{File("out/x", "x"), Link("l", "out/x"), Link("l2", "d/out/x")}),
		layered("setuid root", Lands, nil, Layer{File("su", "#!/bin/sh\n", Mode(0o6755))}),

		layered("dots beyond the root", Refused, nil, Layer{File("../escape", "x")}),
		layered("dots beyond the root, later", Refused, nil, Layer{Dir("a"), File("a/b/../../../escape", "x")}),
		layered("absolute dots", Refused, nil, Layer{File("/../escape", "x")}),
		layered("dots beyond the root in a whiteout", Refused, nil, Layer{File("../.wh.sentinel", "")}),
		layered("dots as a name", Refused, nil, Layer{Dir("..")}),
		layered("symlink with dots in its own name", Refused, nil, Layer{Symlink("../l", canary)}),
		layered("hard link beyond the root", Refused, nil, Layer{Link("l", "../../../etc/passwd")}),
		layered("hard link to the host", Refused, nil, Layer{Link("l", canary+"/sentinel")}),
		layered("hard link through a symlink to the host", Refused, out, Layer{Link("l", "out/sentinel")}),
		layered("hard link to itself", Refused, nil, Layer{Link("l", "l")}),
		layered("hard link to a directory", Refused, []Layer{{Dir("d")}}, Layer{Link("l", "d")}),
		layered("hard link to what this layer deleted", Refused, []Layer{{File("f", "x")}}, Layer{Whiteout("", "f"), Link("l", "f")}),
		layered("whiteout of nothing", Refused, nil, Layer{File("d/.wh.", "")}),
		layered("whiteout of the directory itself", Refused, nil, Layer{File("d/.wh..", "")}),
		layered("whiteout of the parent", Refused, nil, Layer{File("d/.wh...", "")}),
		layered("root as a symlink", Refused, nil, Layer{Symlink(".", canary)}),
		layered("root as a file", Refused, nil, Layer{File(".", "x")}),
		layered("symlink loop on the way", Refused, loop, Layer{File("a/x", "x")}),
		layered("symlink to itself on the way", Refused, loop, Layer{File("self/x", "x")}),

		refused("name too long", Layer{File(strings.Repeat("n", 256), "x")}.Tar()),
		refused("truncated in a header", good[:block+block/2]),
		refused("truncated in data", good[:4*block+7]),
		refused("truncated gzip", cut64(Gzip.Compress(good))),
		refused("truncated zstd", cut64(Zstd.Compress(good))),
		refused("gzip without its checksum", Gzip.Compress(good)[:len(Gzip.Compress(good))-8]),
		refused("no tar at all", bytes.Repeat([]byte("not a tar "), 200)),
		refused("wrong header checksum", damage(good, 3)),
		refused("size that is no number", concat(rawHeader("f", tar.TypeReg, "12x4567890!\x00", ""))),
		refused("negative size", concat(checksum(negative(rawHeader("f", tar.TypeReg, "", ""))))),
		refused("size beyond all bounds", concat(rawHeader("f", tar.TypeReg, "777777777777", ""))),
		refused("huge extended header", concat(rawHeader("PaxHeaders/x", tar.TypeXHeader, octal(6<<30), ""), make([]byte, 8<<10))),
		refused("extended header with a broken record", concat(paxEntry("999999999999 path=x\n"), rawHeader("f", tar.TypeReg, octal(0), ""))),
		refused("extended header with a zero byte in a path", concat(paxEntry(paxRecord("path", "a\x00/../b")), rawHeader("f", tar.TypeReg, octal(0), ""))),
		refused("extended header without an entry", concat(paxEntry(paxRecord("path", "x")))),
		refused("long name without an end", concat(rawHeader("././@LongLink", tar.TypeGNULongName, octal(5<<30), ""), make([]byte, block))),
		{Name: "extended header larger than any memory", Blob: hugePAX, Outcome: Refused},
		{Name: "gzip bomb", Blob: func() io.Reader { return zeros(Gzip, 4<<30) }, Outcome: TooBig},
		{Name: "zstd bomb", Blob: func() io.Reader { return zeros(Zstd, 4<<30) }, Outcome: TooBig},
		{Name: "wrong blob digest", Blob: fixed(Gzip.Compress(good)), Digest: digest.FromString("else"), Outcome: WrongBytes},
		{Name: "wrong diff ID", Blob: fixed(Gzip.Compress(good)), DiffID: digest.FromString("else"), Outcome: WrongBytes},
		{Name: "bytes behind the gzip stream", Blob: fixed(append(Gzip.Compress(good), "trailing garbage"...)), Digest: digest.FromBytes(Gzip.Compress(good)), Outcome: WrongBytes},
	}
	return cases
}

// hugePAX streams an extended header that really has 2 GiB, in compressed form:
// a reader that trusts its size takes that much memory.
func hugePAX() io.Reader {
	const size = 2 << 30
	head := rawHeader("PaxHeaders/x", tar.TypeXHeader, octal(size), "")
	return io.MultiReader(bytes.NewReader(Gzip.Compress(head)), zeros(Gzip, size))
}

// cut64 is b without its last part, at a place that is neither its start nor
// its checksum.
func cut64(b []byte) []byte { return b[:len(b)*2/3] }

// damage is b with one bit of its first header changed.
func damage(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[at] ^= 0x20
	return c
}

// negative writes a size of -1 in base 256 (GNU tar's form for large numbers).
func negative(h []byte) []byte {
	copy(h[124:136], bytes.Repeat([]byte{0xff}, 12))
	return h
}
