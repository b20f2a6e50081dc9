package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

type row struct{ ID, Name string }

func (r *row) MarshalJSON() ([]byte, error) {
	type plain row
	return json.Marshal((*plain)(r))
}

func TestTable(t *testing.T) {
	table := Table{Columns: "{{.ID}}\t{{.Name}}", Titles: map[string]string{"ID": "THE ID", "Name": "NAME"}}
	rows := []*row{{"1", "a<b"}, {"22", ""}}
	for _, tc := range []struct {
		asked string
		quiet bool
		want  string // the output, or the error
	}{
		{"", false, "THE ID    NAME\n1         a<b\n22        \n"},
		{"table", false, "THE ID    NAME\n1         a<b\n22        \n"},
		{"", true, "1\n22\n"},
		{"table", true, "1\n22\n"},
		{"{{.Name}}", true, "a<b\n\n"},
		{`{{.Name}}\t{{.ID}}`, false, "a<b\t1\n\t22\n"},
		{"json", false, `{"ID":"1","Name":"a\u003cb"}` + "\n" + `{"ID":"22","Name":""}` + "\n"},
		{"{{json .Name}}", false, "\"a<b\"\n\"\"\n"},
		{"table {{upper .Name}}\t{{pad .ID 1 1}}", false, "NAME       THE ID \nA<B        1 \n           22 \n"},
		{"table {{json .ID}} {{lower .Name}} {{title .Name}} {{truncate .Name 1}} {{join (split .ID \"x\") \"-\"}}", false,
			"THE ID NAME NAME NAME THE ID\n\"1\" a<b A<B a 1\n\"22\"    22\n"},
		{"{{", false, "template parsing error: template: :1: unclosed action"},
		{"{{.Nope}}", false, `template parsing error: template: :1:2: executing "" at <.Nope>: can't evaluate field Nope in type *format.row`},
	} {
		var out bytes.Buffer
		if err := Write(&out, table, Spec(tc.asked, tc.quiet), rows); err != nil {
			if out.Len() > 0 {
				t.Errorf("%s: wrote %q and failed", tc.asked, out.String())
			}
			out.WriteString(err.Error())
		}
		if out.String() != tc.want {
			t.Errorf("%s, quiet %v:\n%q, want\n%q", tc.asked, tc.quiet, out.String(), tc.want)
		}
	}
	if _, err := Parse("{{bogus}}"); !errors.As(err, new(*SyntaxError)) {
		t.Error(err)
	}
}

// What is written without a template is what the template writes.
func TestPlain(t *testing.T) {
	type inner struct{ Name string }
	type named string
	rows := map[string][]any{
		"structs":        {row{"1", "a<b\tc"}, &row{"22", ""}},
		"none":           {},
		"two types":      {&row{"1", "x"}, &struct{ Name, ID string }{"y", "2"}},
		"no strings":     {&struct{ ID, Name any }{1, nil}},
		"of a type":      {&struct{ ID, Name named }{"1", "x"}},
		"embedded":       {&struct{ inner }{inner{"x"}}},
		"maps":           {map[string]string{"ID": "1"}},
		"nothing at all": {nil},
		"no pointer":     {(*row)(nil)},
	}
	all := map[string]string{"ID": "THE ID", "Name": "NAME"}
	for name, list := range rows {
		for _, text := range []string{"{{.ID}}", "{{.ID}}\t{{.Name}}", "{{.Name}}\t{{.Name}}", "{{.Nope}}", "{{ .ID}}", "x{{.ID}}", "{{.id}}", "{{.}}", ""} {
			table := Table{Titles: all}
			head, lines, ok := plain(text, all, list)
			if wanted := name == "structs" && (text == "{{.ID}}" || strings.HasPrefix(text, "{{.ID}}\t") || strings.HasPrefix(text, "{{.Name}}")); wanted && !ok {
				t.Errorf("%s of %s takes a template", text, name)
			}
			if !ok {
				continue
			}
			tmpl, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			for _, r := range list {
				if err := tmpl.Execute(&want, r); err != nil {
					t.Errorf("%s of %s: %v", text, name, err)
				}
				want.WriteByte('\n')
			}
			if got, want := head.String()+lines.String(), table.head(tmpl).String()+want.String(); got != want {
				t.Errorf("%s of %s: %q, of the template %q", text, name, got, want)
			}
		}
	}
}

func TestObjects(t *testing.T) {
	type object struct {
		ID     string `json:"Id"`
		Labels map[string]string
		Size   int64
	}
	a, b := &object{"1", map[string]string{"k": "a&b"}, 1 << 60}, &object{ID: "2"}
	for _, tc := range []struct{ spec, want string }{
		{"", "[\n    {\n        \"Id\": \"1\",\n        \"Labels\": {\n            \"k\": \"a&b\"\n        },\n        \"Size\": 1152921504606846976\n    },\n    {\n        \"Id\": \"2\",\n        \"Labels\": null,\n        \"Size\": 0\n    }\n]\n"},
		{"json", `[{"Id":"1","Labels":{"k":"a&b"},"Size":1152921504606846976},{"Id":"2","Labels":null,"Size":0}]` + "\n"},
		{"{{.Id}} {{.Size}}", "1 1152921504606846976\n2 0\n"},
		{"{{.ID}} {{.Labels.none}}", "1 <no value>\n2 <no value>\n"},
		{"{{.Nope}}", "\ntemplate parsing error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""},
	} {
		o, err := NewObjects(tc.spec)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		for _, v := range []any{a, b} {
			if e := o.Add(v); e != nil {
				err = e
			}
		}
		if _, err := o.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			out.WriteString(err.Error())
		}
		if out.String() != tc.want {
			t.Errorf("%s:\n%s, want\n%s", tc.spec, out.String(), tc.want)
		}
	}
	for spec, want := range map[string]string{"": "[]\n", "json": "[]\n", "{{.}}": "\n"} {
		o, err := NewObjects(spec)
		var out bytes.Buffer
		if err == nil {
			_, err = o.WriteTo(&out)
		}
		if out.String() != want || err != nil {
			t.Errorf("nothing, %q: %q, %v", spec, out.String(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"{{.ID}}", `table {{.ID}}\t{{.Name}}`, "{{pad .ID -1 99}}", "{{truncate .Name 0}}", "json", "{{"} {
		f.Add(s)
	}
	table := Table{Columns: "{{.ID}}", Titles: map[string]string{"ID": "ID"}}
	f.Fuzz(func(t *testing.T, spec string) {
		if len(spec) > 100 { // a template may print as often as it likes
			return
		}
		_ = Write(new(bytes.Buffer), table, spec, []*row{{"1", "é"}})
	})
}
