package runtime_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

func TestDetach(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		m, _ := userns.Detect()
		path := filepath.Join(t.TempDir(), "done")
		p, err := stage.Start(m, detached, []byte(path), stage.Stdio{Err: os.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		if ok, status, err := p.Detach(); !ok || status != 0 || err != nil {
			t.Fatalf("%t, %d, %v", ok, status, err)
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(path); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the stage did not go on alone")
			}
		}
		if p, err = stage.Start(m, detached, nil, stage.Stdio{Err: os.Stderr}); err != nil {
			t.Fatal(err)
		}
		if ok, status, err := p.Detach(); ok || status != 9 || err != nil {
			t.Errorf("a stage that ends before it is ready: %t, %d, %v", ok, status, err)
		}
	})
}
