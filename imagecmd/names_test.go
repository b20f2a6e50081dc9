package imagecmd

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestContainerName(t *testing.T) {
	for _, words := range [][]string{strings.Fields(adjectives), strings.Fields(surnames)} {
		if len(words) < 100 {
			t.Errorf("only %d words", len(words))
		}
		sorted := slices.Sorted(slices.Values(words))
		if len(slices.Compact(sorted)) != len(words) {
			t.Error("a word is there twice")
		}
		for _, w := range words {
			if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
				t.Errorf("word %q", w)
			}
		}
	}
	taken := map[string]bool{}
	for _, a := range strings.Fields(adjectives) {
		for _, s := range strings.Fields(surnames) {
			taken[a+"_"+s] = true
		}
	}
	for range 1000 { // all are taken: one gets a number, and never the same
		name := containerName(taken)
		if taken[name] || !nameRule().MatchString(name) {
			t.Fatalf("%q", name)
		}
		taken[name] = true
	}
}

// Containers that are made at once without a name have all another one.
func TestNamesAtOnce(t *testing.T) {
	cs := OpenContainers(t.TempDir())
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			c, err := cs.Create(Container{})
			if err != nil {
				t.Error(err)
				return
			}
			c.close()
		})
	}
	wg.Wait()
	all, err := cs.List()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.Name] || !strings.Contains(c.Name, "_") {
			t.Errorf("%q", c.Name)
		}
		seen[c.Name] = true
	}
	if len(seen) != 16 {
		t.Errorf("%d names", len(seen))
	}
}
