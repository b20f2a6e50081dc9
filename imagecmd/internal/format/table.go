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
	tmpl, err := Parse(unescape.Replace(text))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, r := range rows {
		if err := tmpl.Execute(&b, r); err != nil {
			return executeError(err)
		}
		b.WriteByte('\n')
	}
	if !IsTable(spec) {
		_, err := b.WriteTo(out)
		return err
	}
	return t.align(out, tmpl, &b)
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

// align writes lines below their titles, columns three spaces apart and at
// least ten wide. The titles are the template, too, executed on them; what it
// can't do with a title is left out, as Docker does.
func (t Table) align(out io.Writer, tmpl *template.Template, lines *bytes.Buffer) error {
	var head bytes.Buffer
	_ = tmpl.Funcs(headerFunctions).Execute(&head, titles(t.Titles))
	head.WriteByte('\n')
	w := tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)
	if _, err := head.WriteTo(w); err != nil {
		return err
	}
	if _, err := lines.WriteTo(w); err != nil {
		return err
	}
	return w.Flush()
}
