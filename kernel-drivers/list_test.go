package drivers

import "testing"

func TestList(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range List(t.TempDir(), nil) {
		if d.Name() == "" || seen[d.Name()] {
			t.Errorf("driver %q is listed twice, or has no name", d.Name())
		}
		seen[d.Name()] = true
	}
	if !seen["overlay2"] {
		t.Error("overlay2 is not listed")
	}
}
