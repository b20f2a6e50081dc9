package imagecmd

import (
	"os"
	"testing"
)

// Clients that come and go leave no descriptor behind, and get what is written meanwhile.
func TestStreamClientsLeaveNothing(t *testing.T) {
	s, err := newStreams(nil, false, true)
	if err != nil {
		t.Fatal(err)
	}
	open := func() int {
		t.Helper()
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	out, in := s.stdio.Out, s.stdio.In
	s.theirs = nil // this test is the container, and keeps its ends
	s.begin()
	before := open()
	for range 50 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		inR, inW, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c := &streamClient{in: inR, out: w}
		if err := s.attach(c); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 8)
		if _, err := out.WriteString("hello"); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(b); string(b[:n]) != "hello" || err != nil {
			t.Fatalf("%q, %v", b[:n], err)
		}
		if _, err := inW.WriteString("there"); err != nil {
			t.Fatal(err)
		}
		if n, err := in.Read(b); string(b[:n]) != "there" || err != nil {
			t.Fatalf("%q, %v", b[:n], err)
		}
		s.leave(c)
		closeFiles([]*os.File{r, w, inR, inW})
	}
	if now := open(); now > before { // what other tests have opened may be closed meanwhile
		t.Errorf("%d descriptors, %d before", now, before)
	}
	closeFiles([]*os.File{out, s.stdio.Err, in})
	s.finish()
	s.close()
}
