package imagecmd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"
)

// Of two commands that change what is written down of a container neither takes back
// what the other has done.
func TestAmendKeepsWhatOthersHaveChanged(t *testing.T) {
	root := t.TempDir()
	cs := OpenContainers(root)
	made, err := cs.Create(Container{Name: "before"})
	if err != nil {
		t.Fatal(err)
	}
	made.close()
	moving, err := cs.Find("before") // as a migration has it, which takes a while
	if err != nil {
		t.Fatal(err)
	}
	if err := Rename(root, "before", "after"); err != nil {
		t.Fatal(err)
	}
	if err := moving.amend(func(c *Container) { c.Driver = "vfs" }); err != nil {
		t.Fatal(err)
	}
	got, err := cs.Find("after")
	if err != nil {
		t.Fatal(err)
	}
	if got.Driver != "vfs" || moving.Name != "after" {
		t.Errorf("driver %q, name %q", got.Driver, moving.Name)
	}
	// One that has gone is made anew by nobody.
	if err := os.RemoveAll(got.Dir()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"amend": got.amend(func(*Container) {}), "rewrite": got.rewrite(), "reread": got.reread(),
	} {
		if !errors.Is(err, ErrNoContainer) {
			t.Errorf("%s of a container that is gone: %v", what, err)
		}
	}
}

// A reading of a container that is being removed says that there is none.
func TestReadingOfWhatIsGone(t *testing.T) {
	st := newStore(t)
	made, err := OpenContainers(st.Root()).Create(Container{Name: "box"})
	if err != nil {
		t.Fatal(err)
	}
	made.close()
	if err := os.Rename(made.path(containerRootfs), made.path(containerGoing)); err != nil {
		t.Fatal(err)
	}
	if _, err := readingOf(context.Background(), st, made); !errors.Is(err, ErrNoContainer) {
		t.Error(err)
	}
}

// Who waits for the end of a container that was started again meanwhile is told so, and
// does not wait for the end of what runs now.
func TestWaitEndOfWhatIsStartedAgain(t *testing.T) {
	made, err := OpenContainers(t.TempDir()).Create(Container{Name: "box"})
	if err != nil {
		t.Fatal(err)
	}
	defer made.close() // it lives
	ct := made.newController(slog.New(slog.DiscardHandler), nil, "")
	ct.serveControl()
	defer ct.close(0, false)
	waited := make(chan error)
	go func() { waited <- made.waitEnd(context.Background(), time.Hour) }()
	ct.started(os.Getpid(), nil)
	if err := <-waited; !errors.Is(err, ErrRunning) {
		t.Error(err)
	}
	if err := made.waitEnded(context.Background()); err != nil {
		t.Error(err)
	}
}
