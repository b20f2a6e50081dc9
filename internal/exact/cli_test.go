package exact

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cfs-project/cfs/internal/imagegen"
	"github.com/cfs-project/cfs/internal/treediff"
)

// buildCFS builds the program once for all tests of the package.
var buildCFS = sync.OnceValues(func() (string, error) {
	dir := binDir()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "cfs")
	cmd := exec.Command("go", "build", "-o", bin, "github.com/cfs-project/cfs/cmd/cfs")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cfs: %w\n%s", err, out)
	}
	return bin, nil
})

// binDir is where it is put, and what TestMain removes.
func binDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("cfs-exact-bin-%d", os.Getpid()))
}

func cfsBinary(t *testing.T) string {
	t.Helper()
	bin, err := buildCFS()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// cliJob runs `cfs VERB…` as a person would: bring the image in, mount it, walk
// it, unmount it. args: the binary, the directory for everything, the image's
// name, then the arguments that bring it in.
func cliJob(args []string, out io.Writer) (err error) {
	bin, dir, name := args[0], args[1], args[2]
	store, target := filepath.Join(dir, "store"), filepath.Join(dir, "mnt")
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	cfs := func(args ...string) error { return runCFS(bin, store, args...) }
	if err := cfs(args[3:]...); err != nil {
		return err
	}
	if err := cfs("mount", name, target); err != nil {
		return err
	}
	defer func() {
		if e := cfs("umount", target); err == nil {
			err = e
		}
	}()
	return walkJob([]string{target}, out)
}

// runCFS gives what the program says on failure as the error.
func runCFS(bin, store string, args ...string) error {
	cmd := exec.Command(bin, append([]string{"--root", store}, args...)...)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cfs %s: %w: %s", strings.Join(args, " "), err, &talk)
	}
	return nil
}

func TestDebianRootThroughTheProgram(t *testing.T) {
	tar, want := debianTar(t)
	bin := cfsBinary(t)
	for _, u := range users {
		t.Run(u.name, func(t *testing.T) {
			dir := userDir(t)
			linkReadable(t, tar, dir)
			got := decode(t, asUser(t, u.id, "cli", bin, dir, "debian", "import", filepath.Join(dir, "image.tar"), "debian"))
			expectSame(t, want, got, u.ign)
		})
	}
}

func TestSixtyLayersThroughTheProgram(t *testing.T) {
	needRealMachine(t)
	bin := cfsBinary(t)
	layers := imagegen.Chain(60, 60)
	want, implied, err := imagegen.Expect(layers)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		write func(dir string) (string, error)
	}{
		{"docker-archive", func(dir string) (string, error) {
			return toFile(filepath.Join(dir, "image.tar"), imagegen.NewImage("chain:60", imagegen.Plain, layers), imagegen.WriteDockerArchive)
		}},
		{"oci-archive with gzip", func(dir string) (string, error) {
			return toFile(filepath.Join(dir, "image.tar"), imagegen.NewImage("chain:60", imagegen.Gzip, layers), imagegen.WriteOCIArchive)
		}},
		{"OCI layout with zstd", func(dir string) (string, error) {
			dir = filepath.Join(dir, "layout")
			return dir, imagegen.WriteOCILayout(dir, imagegen.NewImage("chain:60", imagegen.Zstd, layers))
		}},
	} {
		for _, u := range users {
			t.Run(c.name+"/"+u.name, func(t *testing.T) {
				dir := userDir(t)
				file, err := c.write(dir)
				if err != nil {
					t.Fatal(err)
				}
				ign := u.ign
				ign.MtimeOf = implied
				expectSame(t, want, decode(t, asUser(t, u.id, "cli", bin, dir, "chain:60", "load", "-i", file)), ign)
			})
		}
	}
}

func toFile(path string, i imagegen.Image, write func(io.Writer, ...imagegen.Image) error) (string, error) {
	var b bytes.Buffer
	if err := write(&b, i); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, b.Bytes(), 0o644)
}

// Hostile layers inside an image file, loaded as root, who could do most harm.
func TestHostileImagesThroughTheProgram(t *testing.T) {
	bin := cfsBinary(t)
	canary := newCanary(t)
	for _, h := range imagegen.Hostiles(canary) {
		if h.Layer == nil {
			continue // a file with these layers would be broken in other ways too
		}
		t.Run(h.Name, func(t *testing.T) {
			check := guard(t, canary)
			dir := t.TempDir()
			file, err := toFile(filepath.Join(dir, "image.tar"), imagegen.NewImage("hostile:1", imagegen.Gzip, h.Chain()), imagegen.WriteDockerArchive)
			if err != nil {
				t.Fatal(err)
			}
			err = runCFS(bin, filepath.Join(dir, "store"), "load", "-i", file)
			switch {
			case h.Outcome == imagegen.Lands && err != nil:
				t.Error(err)
			case h.Outcome != imagegen.Lands && (err == nil || !strings.Contains(err.Error(), "exit status 1: cfs: ")):
				t.Errorf("loaded, or failed oddly: %v", err)
			}
			left, err := treediff.Walk(dir, treediff.Options{NoContent: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left.Entries {
				if e.Path != treediff.Root && e.Path != "image.tar" && e.Path != "store" && !strings.HasPrefix(e.Path, "store/") {
					t.Errorf("%q was made beside the store", e.Path)
				}
			}
			check()
		})
	}
}
