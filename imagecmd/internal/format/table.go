package format

import (
	"bytes"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
)

// A Table is how a command lists things.
type Table struct {
	// Columns is the template of a line when none is asked for, its fields
	// separated by tabs: "{{.ID}}\t{{.Size}}".
	Columns string
	// Titles are what stands above the columns, by the names of the fields.
	Titles map[string]string
}

const tableKey = "table"

// Spec is the format in force: what was asked for, or else a table or, with
// quiet, the IDs alone.
func Spec(asked string, quiet bool) string {
	if asked == "" {
		asked = tableKey
	}
	if asked == tableKey && quiet {
		return "{{.ID}}"
	}
	return asked
}

// IsTable tells whether a spec asks for columns with titles.
func IsTable(spec string) bool { return strings.HasPrefix(spec, tableKey) }

// Write writes rows as spec asks. Nothing is written when one can't be.
func Write[T any](out io.Writer, t Table, spec string, rows []T) error {
	text := spec
	switch {
	case spec == "json":
		text = "{{json .}}"
	case IsTable(spec):
		if text = strings.TrimSpace(strings.TrimPrefix(spec, tableKey)); text == "" {
			text = t.Columns
		}
	}
	text = unescape.Replace(text)
	head, lines, ok := plain(text, t.Titles, rows)
	if !ok {
		tmpl, err := Parse(text)
		if err != nil {
			return err
		}
		lines = new(bytes.Buffer)
		for _, r := range rows {
			if err := tmpl.Execute(lines, r); err != nil {
				return executeError(err)
			}
			lines.WriteByte('\n')
		}
		head = t.head(tmpl)
	}
	if !IsTable(spec) {
		_, err := lines.WriteTo(out)
		return err
	}
	return align(out, head, lines)
}

// titles are what a template is executed on for the line above the columns.
type titles map[string]string

// Label is the title of a column of labels: the last part of the label's name, as
// Docker has it.
func (titles) Label(name string) string {
	return labelWords.Replace(name[strings.LastIndexByte(name, '.')+1:])
}

var labelWords = strings.NewReplacer("-", " ", "_", " ")

// unescape is for templates that a shell's quotes kept from having tabs.
var unescape = strings.NewReplacer(`\t`, "\t", `\n`, "\n")

// head is the line of titles: the template, too, executed on them. What it can't do
// with a title is left out, as Docker does.
func (t Table) head(tmpl *template.Template) *bytes.Buffer {
	var b bytes.Buffer
	_ = tmpl.Funcs(headerFunctions()).Execute(&b, titles(t.Titles))
	b.WriteByte('\n')
	return &b
}

// align writes lines below their titles, columns three spaces apart and at
// least ten wide.
func align(out io.Writer, head, lines *bytes.Buffer) error {
	var b bytes.Buffer // a tabwriter writes word by word
	w := tabwriter.NewWriter(&b, 10, 1, 3, ' ', 0)
	for _, part := range []*bytes.Buffer{head, lines} {
		if _, err := part.WriteTo(w); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := b.WriteTo(out)
	return err
}
