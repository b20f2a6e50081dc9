// Package wiretest checks that a type can be sent by package wire.
package wiretest

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/internal/wire"
)

// Arrives sends a value of the type that has something in every part, and fails the test if
// another one arrives. Fields that are not sent stay zero.
func Arrives[T any](t *testing.T, opts ...cmp.Option) {
	t.Helper()
	var sent, got T
	fill(reflect.ValueOf(&sent).Elem())
	if err := wire.Unmarshal(wire.Marshal(&sent), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sent, got, opts...); d != "" {
		t.Error(d)
	}
}

// fill gives every part of a value something that isn't zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(200)
	case reflect.String:
		v.SetString("\xff")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 2).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("wire") != "-" {
				fill(v.Field(i))
			}
		}
	}
}
