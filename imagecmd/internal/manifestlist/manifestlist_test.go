package manifestlist

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/internal/reference"
)

func name(t *testing.T, s string) reference.Named {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		t.Fatal(err)
	}
	return reference.TagNameOnly(ref)
}

func entry(ref, mediaType string, p *ocispec.Platform) Entry {
	raw := []byte(`{"of":"` + ref + `"}`)
	return Entry{Ref: ref, Raw: raw, Descriptor: ocispec.Descriptor{
		MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw)), Platform: p,
	}}
}

// Many who change one list at once lose nothing of each other.
func TestChangeAtOnce(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "root", "manifests"))
	list := name(t, "r.example/x/"+strings.Repeat("long/", 40)+"app:1")
	const many = 20
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			err := d.Change(list, func(l *List) (*List, error) {
				if l == nil {
					l = &List{Name: list.String()}
				}
				l.Entries = append(l.Entries, entry(fmt.Sprint(i), ocispec.MediaTypeImageManifest, nil))
				return l, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l, err := d.Read(list)
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if l.Find(fmt.Sprint(i)) == nil {
			t.Errorf("entry %d is lost", i)
		}
	}
	if left, err := os.ReadDir(string(d)); err != nil || len(left) != 1 {
		t.Errorf("beside the list there are %v, %v", left, err)
	}
}

// What changes nothing makes nothing, and a damaged list can be removed.
func TestMissingAndDamaged(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	d := Dir(filepath.Join(root, "manifests"))
	list := name(t, "app")
	var missing *NotFoundError
	if _, err := d.Read(list); !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := d.Remove(list); !errors.As(err, &missing) {
		t.Error(err)
	}
	if _, err := os.Lstat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a look at what is not there made a directory")
	}
	if err := d.Change(list, func(*List) (*List, error) { return &List{Name: list.String()}, nil }); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{"", "{", `{"name":"another"}`} {
		if err := os.WriteFile(d.path(list), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(list); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", damage, err)
		}
	}
	if err := d.Remove(list); err != nil {
		t.Error(err)
	}
}

func TestIndex(t *testing.T) {
	amd64 := &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	const docker = "application/vnd.docker.distribution.manifest.v2+json"
	for _, c := range []struct {
		entries []Entry
		want    string // the type, or the error
	}{
		{[]Entry{entry("r.example/a:1", ocispec.MediaTypeImageManifest, amd64), entry("r.example/b:1", docker, amd64)}, ocispec.MediaTypeImageIndex},
		{[]Entry{entry("r.example/a:1", docker, amd64)}, mediaTypeList},
		{[]Entry{entry("r.example/a:1", docker, nil)}, "manifest r.example/a:1 must have an OS and Architecture to be pushed to a registry"},
		{[]Entry{entry("r.example/a:1", docker, &ocispec.Platform{OS: "linux"})}, "manifest r.example/a:1 must have an OS and Architecture to be pushed to a registry"},
		{[]Entry{entry("docker.io/library/a:1", docker, amd64)}, "cannot use source images from a different registry than the target image: docker.io != r.example"},
	} {
		l := List{Name: "r.example/x:1", Entries: c.entries}
		d, raw, err := l.Index()
		got := d.MediaType
		if err != nil {
			got = err.Error()
		} else if d.Digest != digest.FromBytes(raw) || d.Size != int64(len(raw)) {
			t.Errorf("%+v does not describe %s", d, raw)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
	}
}
