package cow

import (
	"strings"
	"testing"
)

func FuzzParseHandle(f *testing.F) {
	// As the kernel wrote them, for tmpfs, ext4 and EROFS.
	f.Add("00fb210001608a0c3c17684c0d9bd0a8649489031a00f17891cd1dda0000000000")
	f.Add("00fb1d000100000000000000000000000000000000ea02a300ca0a6808")
	f.Add("00fb21008190f2a63f3e778b367d8152e42fe56333000000000900000000000000")
	f.Add("#f7920")
	f.Fuzz(func(t *testing.T, name string) {
		h, ok := ParseHandle(name)
		if !ok {
			return
		}
		if h.Name() != strings.ToLower(name) || len(h.Inode()) != len(h)-handleHeader+1 {
			t.Errorf("%s was read as %s, inode %x", name, h.Name(), h.Inode())
		}
	})
}

func TestParseHandle(t *testing.T) {
	good := "00fb1d000100000000000000000000000000000000ea02a300ca0a6808"
	h, ok := ParseHandle(good)
	if !ok || h.UUID() != (UUID{}) || h.Inode() != "\x01\xea\x02\xa3\x00\xca\x0a\x68\x08" {
		t.Errorf("%s: %v, %x", good, ok, h.Inode())
	}
	for what, bad := range map[string]string{
		"nothing":               "",
		"no hexadecimal":        "#f7920",
		"half a byte":           good[:len(good)-1],
		"cut":                   good[:len(good)-2],
		"a newer version":       "01" + good[2:],
		"another magic":         "00fa" + good[4:],
		"unknown flags":         good[:6] + "08" + good[8:],
		"an inode of the upper": good[:6] + "04" + good[8:],
		"no fid":                "00fb15000100000000000000000000000000000000",
	} {
		if _, ok := ParseHandle(bad); ok {
			t.Errorf("%s: %q was read", what, bad)
		}
	}
}
