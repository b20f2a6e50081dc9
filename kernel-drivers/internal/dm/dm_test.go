package dm

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the kernel is given, byte by byte (include/uapi/linux/dm-ioctl.h).
func TestRequestIsStructDMIoctl(t *testing.T) {
	target := Target{Length: 204800, Type: "thin-pool", Params: "7:1 7:0 128 0"}
	buf, err := request{name: "n", uuid: "u", flags: flagReadOnly, targets: 1, payload: target.encode()}.encode(1000)
	if err != nil {
		t.Fatal(err)
	}
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(buf[at:]) }
	got := map[string]any{
		"version": u32(0), "size": u32(12), "start": u32(16), "targets": u32(20), "flags": u32(28),
		"name": string(buf[48:50]), "uuid": string(buf[176:178]),
		"length": binary.NativeEndian.Uint64(buf[312+8:]), "next": u32(312 + 20), "type": string(buf[312+24 : 312+34]),
		"params": string(buf[312+40 : 312+54]),
	}
	want := map[string]any{
		"version": uint32(4), "size": uint32(1312), "start": uint32(312), "targets": uint32(1), "flags": uint32(1),
		"name": "n\x00", "uuid": "u\x00", "length": uint64(204800), "next": uint32(56), "type": "thin-pool\x00",
		"params": "7:1 7:0 128 0\x00",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := (request{name: strings.Repeat("x", nameSize)}).encode(0); err == nil {
		t.Error("a name that is too long is taken")
	}
}

func TestNames(t *testing.T) {
	entry := func(next uint32, name string) []byte {
		b := make([]byte, 12, 64)
		binary.NativeEndian.PutUint32(b[8:], next)
		b = append(b, name...)
		return append(b, make([]byte, int(max(next, uint32(len(b)+1)))-len(b))...)
	}
	list := append(entry(24, "cfs-a"), append(entry(32, "other"), entry(0, "cfs-b")...)...)
	for _, c := range []struct {
		name string
		data []byte
		want []string
		bad  bool
	}{
		{"none", make([]byte, 12), nil, false},
		{"nothing", nil, nil, false},
		{"three", list, []string{"cfs-a", "cfs-b"}, false},
		{"cut", list[:20], nil, true},
		{"a name without end", append(make([]byte, 12), "cfs"...), nil, true},
	} {
		got, err := names(c.data, "cfs-")
		if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != c.bad {
			t.Errorf("%s: %v\n%s", c.name, err, diff)
		}
	}
}

func FuzzReply(f *testing.F) {
	buf, err := request{name: "n"}.encode(64)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(buf)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < headerSize {
			return
		}
		r, err := decode(data)
		if err != nil {
			return
		}
		list, _ := names(r.data, "")
		for _, name := range list {
			if strings.ContainsRune(name, 0) {
				t.Errorf("a name with NUL: %q", name)
			}
		}
	})
}
