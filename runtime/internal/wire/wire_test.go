package wire

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Name  string
	Bytes []byte
	Pair  [2]uint16
}

type word string

type all struct {
	Flag    bool
	Small   int8
	Int     int
	Big     uint64
	Word    word
	Inner   inner
	Inners  []inner
	Pointer *inner
	Number  *int
	Map     map[string]string
	Words   []word
}

func values() []all {
	n := math.MinInt
	return []all{
		{},
		{
			Flag: true, Small: -128, Int: math.MinInt64, Big: math.MaxUint64, Word: "\xff no text",
			Inner: inner{"a", []byte{0, 1}, [2]uint16{1, 65535}}, Inners: []inner{{}, {Name: "b"}}, Pointer: &inner{}, Number: &n,
			Map: map[string]string{"a": "b", "": ""}, Words: []word{"", "x"},
		},
		{Inner: inner{Bytes: []byte{}}, Inners: []inner{}, Map: map[string]string{}, Words: []word{}},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, v := range values() {
		var got all
		b := Marshal(&v)
		if err := Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, got); d != "" { // tells nil from empty
			t.Error(d)
		}
		for n := range b {
			if err := Unmarshal(b[:n], new(all)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("the first %d of %d bytes: %v", n, len(b), err)
			}
		}
		if err := Unmarshal(append(b, 0), new(all)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a byte more: %v", err)
		}
	}
}

func TestOverflow(t *testing.T) {
	wide, narrow := struct{ N int }{1 << 20}, struct{ N int8 }{}
	if err := Unmarshal(Marshal(&wide), &narrow); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d: %v", narrow.N, err)
	}
}

func TestRefused(t *testing.T) {
	for name, v := range map[string]any{"function": &struct{ F func() }{}, "hidden field": &struct{ hidden int }{}, "float": new(float64)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a %s was encoded", name)
				}
			}()
			Marshal(v)
		}()
	}
}

// What can be decoded comes out the same when it is encoded again.
func FuzzUnmarshal(f *testing.F) {
	for _, v := range values() {
		f.Add(Marshal(&v))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var v, again all
		if err := Unmarshal(b, &v); err != nil {
			return
		}
		if err := Unmarshal(Marshal(&v), &again); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, again); d != "" {
			t.Error(d)
		}
	})
}
