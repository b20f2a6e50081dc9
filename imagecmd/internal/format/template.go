package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"unicode"
)

// A SyntaxError is a template that can't be parsed.
type SyntaxError struct{ err error }

func (e *SyntaxError) Error() string { return "template parsing error: " + e.err.Error() }
func (e *SyntaxError) Unwrap() error { return e.err }

// Parse reads a template that may call Docker's functions beside those of
// text/template. The error is a [*SyntaxError].
func Parse(text string) (*template.Template, error) {
	t, err := template.New("").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, &SyntaxError{err}
	}
	return t, nil
}

// executeError is what Docker says when a template meets what it can't print.
func executeError(err error) error { return fmt.Errorf("template parsing error: %w", err) }

// functions are Docker's, see docs.docker.com/engine/cli/formatting.
func functions() template.FuncMap {
	return template.FuncMap{
		"json":  toJSON,
		"join":  strings.Join,
		"split": strings.Split,
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"title": title,
		"pad": func(s string, before, after int) string {
			if s == "" {
				return s
			}
			return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
		},
		"truncate": func(s string, n int) string {
			if r := []rune(s); n >= 0 && len(r) > n {
				return string(r[:n])
			}
			return s
		},
	}
}

// headerFunctions leave the titles of columns as they are; pad, which moves
// columns, is not among them.
func headerFunctions() template.FuncMap {
	return template.FuncMap{
		"json":     func(s string) string { return s },
		"join":     func(s, _ string) string { return s },
		"split":    func(s, _ string) string { return s },
		"lower":    func(s string) string { return s },
		"upper":    func(s string) string { return s },
		"title":    func(s string) string { return s },
		"truncate": func(s string, _ int) string { return s },
	}
}

// toJSON writes <, > and & as they are, as Docker's json does.
func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// title sets the first letter of every word in upper case.
func title(s string) string {
	prev := ' '
	return strings.Map(func(r rune) rune {
		start := !unicode.IsLetter(prev) && !unicode.IsDigit(prev) && prev != '_' && prev != '\''
		prev = r
		if start {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}
