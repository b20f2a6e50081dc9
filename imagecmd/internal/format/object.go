package format

import (
	"bytes"
	"encoding/json"
	"io"
	"text/template"
)

// Objects writes what inspect commands print: a JSON array, indented or (spec
// "json") compact, or a template's text for each.
type Objects struct {
	compact bool
	tmpl    *template.Template // nil: JSON
	list    []any
	text    bytes.Buffer
}

// NewObjects reads the spec; the error is a [*SyntaxError].
func NewObjects(spec string) (*Objects, error) {
	if spec == "" || spec == "json" {
		return &Objects{compact: spec == "json"}, nil
	}
	t, err := Parse(spec)
	if err != nil {
		return nil, err
	}
	return &Objects{tmpl: t}, nil
}

// Add takes an object. A template that can't be executed on it is tried on its
// JSON, whose fields the type may not have; the error is of that.
func (o *Objects) Add(v any) error {
	if o.tmpl == nil {
		o.list = append(o.list, v)
		return nil
	}
	var b bytes.Buffer
	if err := o.tmpl.Execute(&b, v); err != nil {
		if err := o.addRaw(&b, v); err != nil {
			return executeError(err)
		}
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(&o.text)
	return err
}

func (o *Objects) addRaw(b *bytes.Buffer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var object any
	if err := dec.Decode(&object); err != nil {
		return err
	}
	strict, err := o.tmpl.Clone()
	if err != nil {
		return err
	}
	b.Reset()
	return strict.Option("missingkey=error").Execute(b, object)
}

// WriteTo writes what was added: without any object an empty array, or line.
func (o *Objects) WriteTo(out io.Writer) (int64, error) {
	if o.tmpl != nil {
		if o.text.Len() == 0 {
			o.text.WriteByte('\n')
		}
		return o.text.WriteTo(out)
	}
	if o.list == nil {
		o.list = []any{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if !o.compact {
		enc.SetIndent("", "    ")
	}
	if err := enc.Encode(o.list); err != nil {
		return 0, err
	}
	return b.WriteTo(out)
}
