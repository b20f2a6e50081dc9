package debianroot

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// DevTag names the image of [Dev] in both its layouts.
const DevTag = "dev"

// A DevImage is the image for developers, about 50,000 files and 890 MB in 8
// layers, in two OCI layouts.
type DevImage struct {
	Gzip, Zstd string     // the layouts' directories; the tag is DevTag
	Layers     []DevLayer // bottom first
}

// A DevLayer is what one of its layers holds.
type DevLayer struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	Files   int    `json:"files"` // entries that are not directories
	Bytes   int64  `json:"bytes"` // of the tar
}

// Total is all layers together.
func (d DevImage) Total() DevLayer {
	t := DevLayer{Name: DevTag}
	for _, l := range d.Layers {
		t.Entries, t.Files, t.Bytes = t.Entries+l.Entries, t.Files+l.Files, t.Bytes+l.Bytes
	}
	return t
}

// packageSets are the layers above the minimal root: packages by patterns of
// [path.Match]. The last holds what the others need.
var packageSets = []struct {
	name     string
	patterns []string
}{
	{"compilers", []string{"gcc", "gcc-1[0-9]", "g++", "g++-1[0-9]", "cpp", "cpp-1[0-9]", "binutils*", "make", "libgcc-*-dev", "libstdc++-*-dev", "libc6-dev", "linux-libc-dev"}},
	{"kernel headers", []string{"linux-headers-*", "linux-kbuild-*", "linux-compiler-*"}},
	{"Go's sources", []string{"golang-1.19-src"}},
	{"Python", []string{"python3*", "libpython3*"}},
	{"Perl and manuals", []string{"perl", "perl-*", "libperl*", "manpages", "manpages-dev", "tzdata"}},
	{"version control", []string{"git", "git-man", "mercurial*", "subversion", "libsvn*"}},
	{"tools and libraries", []string{"*"}},
}

// devPackages are asked for; what they depend on comes with them.
var devPackages = []string{
	"gcc", "g++", "make", "linux-headers-amd64", "golang-1.19-src", "python3-dev", "python3-pip", "perl", "perl-doc",
	"manpages", "manpages-dev", "tzdata", "git", "mercurial", "subversion", "cmake", "gdb",
}

// Dev is the image for developers, which the caller must not change. Its
// packages are unpacked, and not configured. It takes about 3 minutes and 2 GB
// of the cache's filesystem the first time, and needs root, mmdebstrap,
// dpkg-deb, gzip, zstd and a mirror then.
func Dev(ctx context.Context) (DevImage, error) {
	base, err := Tar(ctx)
	if err != nil {
		return DevImage{}, err
	}
	dir, err := cached(ctx, fmt.Sprintf("debian-%s-%s-dev", Suite, runtime.GOARCH), func(path string) error {
		return buildDev(ctx, base, path)
	})
	if err != nil {
		return DevImage{}, err
	}
	d := DevImage{Gzip: filepath.Join(dir, "gzip"), Zstd: filepath.Join(dir, "zstd")}
	raw, err := os.ReadFile(filepath.Join(dir, layersFile))
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(raw, &d.Layers)
}

// layersFile is beside the layouts and holds the layers' description.
const layersFile = "layers.json"

func buildDev(ctx context.Context, base, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	if err := mmdebstrap(ctx, "--variant=extract", "--skip=cleanup/apt", "--include="+strings.Join(devPackages, ","), Suite, root); err != nil {
		return err
	}
	sets, err := assign(base, filepath.Join(root, "var/cache/apt/archives"))
	if err != nil {
		return err
	}
	l, err := newLayouts(dir)
	if err != nil {
		return err
	}
	err = l.add(ctx, "minimal root", func(w io.Writer) (n counts, err error) { return n, n.copyTar(w, base) })
	if err != nil {
		return err
	}
	for i, s := range packageSets {
		if err := l.add(ctx, s.name, func(w io.Writer) (counts, error) { return mergePackages(ctx, w, sets[i]) }); err != nil {
			return fmt.Errorf("layer of %s: %w", s.name, err)
		}
	}
	if err := l.finish(); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

// assign says which of the packages in dir make which set: those that the
// minimal root has make none.
func assign(base, dir string) ([][]string, error) {
	have, err := installed(base)
	if err != nil {
		return nil, err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	slices.Sort(debs)
	sets := make([][]string, len(packageSets))
	for _, deb := range debs {
		name, _, _ := strings.Cut(filepath.Base(deb), "_")
		if have[name] {
			continue
		}
		i := slices.IndexFunc(packageSets, func(s struct {
			name     string
			patterns []string
		}) bool {
			return slices.ContainsFunc(s.patterns, func(p string) bool {
				ok, err := filepath.Match(p, name)
				return ok && err == nil
			})
		})
		sets[i] = append(sets[i], deb)
	}
	return sets, nil
}

// installed are the packages of the minimal root, as dpkg has noted them.
func installed(base string) (map[string]bool, error) {
	f, err := os.Open(base)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("find dpkg's status in %s: %w", base, err)
		}
		if filepath.Clean(h.Name) != "var/lib/dpkg/status" {
			continue
		}
		have := map[string]bool{}
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			if name, ok := strings.CutPrefix(s.Text(), "Package: "); ok {
				have[name] = true
			}
		}
		return have, s.Err()
	}
}
