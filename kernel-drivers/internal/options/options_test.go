package options

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var all = []Definition{
	{Name: "a", Default: "1", Usage: "a number", Check: func(v string) error {
		if v != "1" && v != "2" {
			return errors.New("neither 1 nor 2")
		}
		return nil
	}},
	{Name: "b", Usage: "anything", Check: func(string) error { return nil }},
}

func TestSetAndLoad(t *testing.T) {
	home := filepath.Join(t.TempDir(), "not", "there")
	loaded := func() Values {
		t.Helper()
		v, err := Load(home, all)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		set  map[string]string
		fail string
		want Values
	}{
		{nil, "", Values{"a": "1", "b": ""}},
		{map[string]string{"a": "2", "b": "x"}, "", Values{"a": "2", "b": "x"}},
		{map[string]string{"a": "3", "b": "y"}, "neither 1 nor 2", Values{"a": "2", "b": "x"}},
		{map[string]string{"b": "y", "c": "3"}, "there are: a, b", Values{"a": "2", "b": "x"}},
		{map[string]string{"a": ""}, "", Values{"a": "1", "b": "x"}},
	} {
		err := Set(home, all, c.set)
		if c.fail == "" && err != nil || c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)) {
			t.Errorf("set %v: %v", c.set, err)
		}
		if diff := cmp.Diff(c.want, loaded()); diff != "" {
			t.Errorf("after %v: %s", c.set, diff)
		}
	}
	if err := os.WriteFile(filepath.Join(home, fileName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(home, all); err == nil || !strings.Contains(err.Error(), fileName) {
		t.Errorf("a damaged file: %v", err)
	}
}
