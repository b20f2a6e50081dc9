// Package wire encodes a value for another process of this same program, which has the very
// same type: fields go by their order, without names. Encoding the configuration of a
// container's init as JSON, and decoding it, was a twentieth of all that a short container
// costs, most of it for what encoding/json has to find out of each type first (perf).
//
//	bool, numbers     a varint
//	string            its length, its bytes, whatever they are
//	slice, map        0 for nil, or its length and 1; its elements
//	pointer           0 for nil, or 1 and what it points to
//	struct, array     its fields, its elements
//
// Invariant: what was decoded is as it was encoded, nil or empty included; and bytes that
// nobody has encoded are an error, or some value, but no more memory than they are long, times
// the size of an element.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
)

// ErrCorrupt is returned for bytes that aren't an encoding of the type.
var ErrCorrupt = errors.New("not an encoding of this type")

// Marshal encodes what v points to. It panics where the type has a part that isn't in the list
// above, or a field that isn't exported.
func Marshal(v any) []byte { return encode(nil, reflect.ValueOf(v).Elem()) }

// Unmarshal decodes into what v points to, which is zero before. An error wraps [ErrCorrupt].
func Unmarshal(b []byte, v any) error {
	d := decoder{rest: b}
	d.decode(reflect.ValueOf(v).Elem())
	if !d.failed && len(d.rest) > 0 {
		d.failed = true
	}
	if d.failed {
		return fmt.Errorf("%w, %T", ErrCorrupt, v)
	}
	return nil
}

func encode(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.String:
		return append(binary.AppendUvarint(b, uint64(v.Len())), v.String()...)
	case reflect.Slice:
		if v.IsNil() {
			return append(b, 0)
		}
		b = binary.AppendUvarint(b, uint64(v.Len())+1)
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return append(b, v.Bytes()...)
		}
		return elements(b, v)
	case reflect.Array:
		return elements(b, v)
	case reflect.Map:
		if v.IsNil() {
			return append(b, 0)
		}
		b = binary.AppendUvarint(b, uint64(v.Len())+1)
		for i := v.MapRange(); i.Next(); {
			b = encode(encode(b, i.Key()), i.Value())
		}
		return b
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0)
		}
		return encode(append(b, 1), v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				panic(fmt.Sprintf("wire: %s has the field %s", v.Type(), v.Type().Field(i).Name))
			}
			b = encode(b, v.Field(i))
		}
		return b
	}
	panic(fmt.Sprintf("wire: a %s", v.Type()))
}

func elements(b []byte, v reflect.Value) []byte {
	for i := range v.Len() {
		b = encode(b, v.Index(i))
	}
	return b
}

// A decoder has what is left to be decoded. Once it has failed all that it yields is zero.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) decode(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(d.flag())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, size := binary.Varint(d.rest)
		if d.skip(size); v.OverflowInt(n) {
			d.failed = true
			return
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n := d.number()
		if v.OverflowUint(n) {
			d.failed = true
			return
		}
		v.SetUint(n)
	case reflect.String:
		v.SetString(string(d.bytes(d.number())))
	case reflect.Slice:
		n, ok := d.length()
		switch {
		case !ok:
		case v.Type().Elem().Kind() == reflect.Uint8:
			v.SetBytes(append(make([]byte, 0, n), d.bytes(uint64(n))...))
		default:
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			d.elements(v)
		}
	case reflect.Array:
		d.elements(v)
	case reflect.Map:
		n, ok := d.length()
		if !ok {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for i := 0; i < n && !d.failed; i++ {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			d.decode(key)
			d.decode(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Pointer:
		if d.flag() {
			v.Set(reflect.New(v.Type().Elem()))
			d.decode(v.Elem())
		}
	case reflect.Struct:
		for i := 0; i < v.NumField() && !d.failed; i++ {
			d.decode(v.Field(i))
		}
	default:
		panic(fmt.Sprintf("wire: a %s", v.Type()))
	}
}

func (d *decoder) elements(v reflect.Value) {
	for i := 0; i < v.Len() && !d.failed; i++ {
		d.decode(v.Index(i))
	}
}

// skip takes off what a varint took; none has failed.
func (d *decoder) skip(n int) {
	if n <= 0 {
		d.failed, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	d.skip(size)
	return n
}

func (d *decoder) flag() bool {
	n := d.number()
	if n > 1 {
		d.failed = true
	}
	return n == 1
}

// length is that of a slice or map, and false for nil. Each element has a byte, at least.
func (d *decoder) length() (int, bool) {
	n := d.number()
	if n > uint64(len(d.rest))+1 {
		d.failed = true
	}
	return int(n) - 1, n > 0 && !d.failed
}

func (d *decoder) bytes(n uint64) []byte {
	if d.failed || n > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}
