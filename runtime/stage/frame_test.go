package stage

import (
	"bytes"
	"testing"
)

func FuzzReadFrame(f *testing.F) {
	var b bytes.Buffer
	if err := writeFrame(&b, framePayload, []byte("payload")); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{'S', 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		kind, body, err := readFrame(bytes.NewReader(in))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := writeFrame(&b, kind, body); err != nil || !bytes.HasPrefix(in, b.Bytes()) {
			t.Fatalf("%q became %q", in, b.Bytes())
		}
	})
}
