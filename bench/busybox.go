package bench

import (
	"os"

	"github.com/cfs-project/cfs/internal/imagegen"
)

// BusyboxLayer is the only layer of a small image: a static busybox, with the
// directories and names that a shell wants.
func BusyboxLayer(busybox string) (imagegen.Layer, error) {
	b, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	l := imagegen.Layer{
		imagegen.Dir("."), imagegen.Dir("bin"), imagegen.File("bin/busybox", string(b), imagegen.Mode(0o755)),
		imagegen.Dir("etc"), imagegen.File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), imagegen.File("etc/group", "root:x:0:\n"),
		imagegen.Dir("root", imagegen.Mode(0o700)), imagegen.Dir("tmp", imagegen.Mode(0o1777)),
	}
	for _, d := range []string{"proc", "sys", "dev"} {
		l = append(l, imagegen.Dir(d))
	}
	for _, n := range []string{"sh", "true", "cat", "ls"} {
		l = append(l, imagegen.Symlink("bin/"+n, "busybox"))
	}
	return l, nil
}
