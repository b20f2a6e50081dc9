package imagecmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

// A meddler does something at each line that a build prints, once it has begun.
type meddler struct {
	do    func()
	begun bool
}

func (m *meddler) Write(b []byte) (int, error) {
	m.begun = m.begun || bytes.Contains(b, []byte("--->"))
	if m.begun && bytes.IndexByte(b, '\n') >= 0 {
		m.do()
	}
	return len(b), nil
}

// What a build stands on, new or found among what was built before, is kept from a prune
// between any two of its steps: also where a step changes no file, so that its layers are
// those of the image below it.
func TestPruneBetweenTheStepsOfABuild(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	mustLoad(t, st, it.File(t, "base.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "base"), "base")...)))
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("file", "1")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "file"), old, old); err != nil {
		t.Fatal(err)
	}
	time.Sleep(150 * time.Millisecond) // until the file's digest may be remembered
	write("Dockerfile", "FROM base AS one\nLABEL a=1\nCOPY file /a\nLABEL b=1\n"+
		"FROM one\nLABEL c=1\nCOPY --from=one /a /b\nLABEL d=1\n")
	prune := func() {
		o := PruneOptions{All: true}
		if err := Prune(ctx, st, o, io.Discard); err != nil {
			t.Error(err)
		}
		if err := BuilderPrune(ctx, st, BuilderPruneOptions{All: true}, io.Discard); err != nil {
			t.Error(err)
		}
	}
	for _, what := range []string{"new", "found"} {
		o := BuildOptions{Context: dir, Names: []string{"built"}, Err: io.Discard}
		o.Outputs = []BuildOutput{{Type: "image"}}
		if err := Build(ctx, st, o, &meddler{do: prune}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		mustChain(t, st, "built")
		wholeStore(t, st)
		// The base went with the rest if it was not kept.
		mustLoad(t, st, it.File(t, "base.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "base"), "base")...)))
	}
	noTemps(t, st)
}
