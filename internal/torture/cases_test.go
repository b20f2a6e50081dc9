package torture

import (
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnlinkedLower: a lower file that is open loses its only name; whoever asks
// the server and not the kernel's cache is told that it has none. A read makes the
// access time be asked for.
func TestUnlinkedLower(t *testing.T) {
	needMount(t)
	for _, transport := range []string{"loop", "gofuse"} {
		for _, kind := range []string{"dirs", "packed"} {
			t.Run(transport+"-"+kind, func(t *testing.T) {
				u := &union{t: t, dir: ground(t, "tmpfs", 0)}
				u.plain = u.dir + "/plain"
				low := u.dir + "/layer0"
				mkdirs(t, low, u.plain)
				b := &builder{t: t, r: rand.New(rand.NewPCG(1, 1)), plain: u.plain, layer: low}
				b.do("f", func(p string) error { return os.WriteFile(p, []byte("below"), 0o644) })
				u.lowers(kind, []string{low})
				u.spec.Transport = transport
				srv := start(t, u.spec)
				f, err := os.Open(srv.mnt + "/f")
				must(t, err)
				must(t, os.Remove(srv.mnt+"/f"))
				_, err = f.Read(make([]byte, 8))
				must(t, err)
				var st unix.Stat_t
				must(t, unix.Fstat(int(f.Fd()), &st))
				must(t, f.Close())
				if st.Nlink != 0 {
					t.Errorf("nlink %d", st.Nlink)
				}
				srv.unmount()
				u.untouched()
			})
		}
	}
}
