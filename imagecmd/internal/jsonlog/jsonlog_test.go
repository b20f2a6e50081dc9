package jsonlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func create(t *testing.T, o Options) (*Writer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	w, err := Create(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, path
}

func say(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(w, s); n != len(s) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
}

func read(t *testing.T, path string, o ReadOptions) []string {
	t.Helper()
	var got []string
	if err := Read(t.Context(), path, o, func(e Entry) error { got = append(got, e.Stream[3:]+":"+e.Log); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLines(t *testing.T) {
	w, path := create(t, Options{})
	out, errs := w.Stream("stdout"), w.Stream("stderr")
	say(t, out, "one\ntw")
	say(t, errs, "bad\n")
	say(t, out, "o\n\nrest")
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	say(t, errs, strings.Repeat("x", maxLine)+"y\n")
	want := []string{"out:one\n", "err:bad\n", "out:two\n", "out:\n", "out:rest", "err:" + strings.Repeat("x", maxLine), "err:y\n"}
	if got := read(t, path, ReadOptions{Tail: -1}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%.200q", got)
	}
	if got := read(t, path, ReadOptions{Tail: 1}); fmt.Sprint(got) != "[err:y\n]" {
		t.Errorf("%q", got)
	}
	if got := read(t, path, ReadOptions{Tail: 0}); got != nil {
		t.Errorf("%q", got)
	}
	if got := read(t, path, ReadOptions{Tail: -1, Since: time.Now().Add(time.Hour)}); got != nil {
		t.Errorf("since the future: %q", got)
	}
	if got := read(t, path, ReadOptions{Tail: -1, Until: time.Now().Add(-time.Hour)}); got != nil {
		t.Errorf("until the past: %q", got)
	}
	if got := read(t, path+"none", ReadOptions{Tail: -1}); got != nil {
		t.Errorf("no log: %q", got)
	}
}

func TestTornLineIsPassedOver(t *testing.T) {
	w, path := create(t, Options{})
	say(t, w.Stream("stdout"), "a\n")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(append(b, b[:20]...), append([]byte("\n"), b...)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path, ReadOptions{Tail: -1}); fmt.Sprint(got) != "[out:a\n out:a\n]" {
		t.Errorf("%q", got)
	}
}

func TestRotation(t *testing.T) {
	w, path := create(t, Options{MaxSize: 400, MaxFiles: 3})
	out := w.Stream("stdout")
	for i := range 30 {
		say(t, out, fmt.Sprintf("line %d\n", i))
	}
	var size int64
	for n := range 4 {
		fi, err := os.Stat(name(path, n))
		if n == 3 {
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a fourth file: %v", err)
			}
			break
		}
		if err != nil || fi.Size() > 400 {
			t.Fatalf("%s: %v", name(path, n), err)
		}
		size += fi.Size()
	}
	got := read(t, path, ReadOptions{Tail: -1})
	if len(got) < 10 || got[len(got)-1] != "out:line 29\n" || got[0] != fmt.Sprintf("out:line %d\n", 30-len(got)) {
		t.Errorf("%q", got)
	}
	if got := read(t, path, ReadOptions{Tail: 7}); len(got) != 7 || got[0] != "out:line 23\n" {
		t.Errorf("%q", got)
	}
	one, path := create(t, Options{MaxSize: 200})
	for range 20 {
		say(t, one.Stream("stdout"), "again\n")
	}
	if fi, err := os.Stat(path); err != nil || fi.Size() > 200 {
		t.Errorf("one file: %v, %v", fi.Size(), err)
	}
}

func TestFollow(t *testing.T) {
	for _, o := range []Options{{}, {MaxSize: 300, MaxFiles: 40}} {
		w, path := create(t, o)
		out := w.Stream("stdout")
		say(t, out, "first\n")
		var ended atomic.Bool
		got := make(chan string, 100)
		done := make(chan error, 1)
		go func() {
			done <- Read(t.Context(), path, ReadOptions{Tail: 1, Follow: true, Ended: ended.Load}, func(e Entry) error { got <- e.Log; return nil })
			close(got)
		}()
		for i := range 12 {
			say(t, out, fmt.Sprintf("%d\n", i))
			time.Sleep(5 * time.Millisecond)
		}
		ended.Store(true)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var all []string
		for s := range got {
			all = append(all, s)
		}
		if n := len(all); n == 0 || all[n-1] != "11\n" {
			t.Errorf("%q", all)
		}
		for i := 1; i < len(all); i++ {
			var a, b int
			fmt.Sscan(all[i-1], &a)
			fmt.Sscan(all[i], &b)
			if all[i-1] != "first\n" && b != a+1 {
				t.Errorf("%q", all)
			}
		}
	}
}

func TestFollowEndsWithContext(t *testing.T) {
	_, path := create(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	err := Read(ctx, path, ReadOptions{Tail: -1, Follow: true, Ended: func() bool { return false }}, func(Entry) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
