package format

import (
	"bytes"
	"reflect"
	"strings"
)

// plain is what a template prints that is nothing but fields, separated by tabs, of rows
// that are structs of strings: most lists are, and to read and execute a template takes
// longer than to make many a list. ok is false where only the template can tell.
func plain[T any](text string, titles map[string]string, rows []T) (head, lines *bytes.Buffer, ok bool) {
	head, lines = new(bytes.Buffer), new(bytes.Buffer)
	names, ok := fieldNames(text)
	if !ok {
		return nil, nil, false
	}
	cells := make([]string, len(names))
	for i, name := range names {
		if cells[i], ok = titles[name]; !ok {
			return nil, nil, false
		}
	}
	writeCells(head, cells)
	var of reflect.Type // whose fields these are
	var fields []int
	for _, r := range rows {
		v := reflect.Indirect(reflect.ValueOf(r))
		if !v.IsValid() {
			return nil, nil, false
		}
		if v.Type() != of {
			of = v.Type()
			if fields, ok = stringFields(of, names); !ok {
				return nil, nil, false
			}
		}
		for i, n := range fields {
			cells[i] = v.Field(n).String()
		}
		writeCells(lines, cells)
	}
	return head, lines, true
}

// stringFields are the fields of a struct's own, which can't have methods of their names
// beside them.
func stringFields(t reflect.Type, names []string) (fields []int, ok bool) {
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	for _, name := range names {
		f, ok := t.FieldByName(name)
		if !ok || len(f.Index) > 1 || f.Type != reflect.TypeFor[string]() {
			return nil, false
		}
		fields = append(fields, f.Index[0])
	}
	return fields, true
}

func writeCells(b *bytes.Buffer, cells []string) {
	for i, c := range cells {
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(c)
	}
	b.WriteByte('\n')
}

// fieldNames reads "{{.ID}}\t{{.Size}}".
func fieldNames(text string) (names []string, ok bool) {
	for field := range strings.SplitSeq(text, "\t") {
		name, begins := strings.CutPrefix(field, "{{.")
		name, ends := strings.CutSuffix(name, "}}")
		if !begins || !ends || name == "" || strings.Trim(name, letters) != "" || name[0] < 'A' || name[0] > 'Z' {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
