package debianroot

import "testing"

// TestMerged holds packages' paths against a root whose /bin, /lib and /sbin
// are symlinks into /usr.
func TestMerged(t *testing.T) {
	for in, want := range map[string]string{
		"./": "./", "./bin/": "./usr/bin/", "./lib/x86_64-linux-gnu/libc.so.6": "./usr/lib/x86_64-linux-gnu/libc.so.6",
		"./usr/bin/cc": "./usr/bin/cc", "./library": "./library", "./etc/lib/a": "./etc/lib/a", "sbin/init": "./usr/sbin/init",
	} {
		if got := merged(in); got != want {
			t.Errorf("%q goes to %q instead of %q", in, got, want)
		}
	}
}
