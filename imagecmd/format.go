package imagecmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
	"unicode"
)

// imageHeaders are the column titles of the fields of [imageRow].
var imageHeaders = map[string]string{
	"ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST",
	"CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE", "VirtualSize": "VIRTUAL SIZE",
	"Containers": "CONTAINERS", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
}

// templateFuncs are the functions of Docker's templates.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			if r, ok := v.(*imageRow); ok {
				v = r.object()
			}
			var b bytes.Buffer
			err := json.NewEncoder(&b).Encode(v)
			return strings.TrimSuffix(b.String(), "\n"), err
		},
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

// object is a row as Docker's `{{json .}}` prints it.
func (r *imageRow) object() map[string]string {
	return map[string]string{
		"ID": r.ID(), "Repository": r.repo, "Tag": r.tag, "Digest": r.digest,
		"CreatedSince": r.CreatedSince(), "CreatedAt": r.CreatedAt(), "Size": r.Size(), "VirtualSize": r.VirtualSize(),
		"Containers": r.Containers(), "SharedSize": r.SharedSize(), "UniqueSize": r.UniqueSize(),
	}
}

// writeImages writes rows in the format that the options ask for.
func writeImages(out io.Writer, rows []*imageRow, o ImagesOptions) error {
	format := o.Format
	table := false
	switch {
	case format == "json":
		format = "{{json .}}"
	case format == "" && o.Quiet:
		format = "{{.ID}}"
	case format == "" || format == "table":
		table = true
		format = `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`
		if o.Digests {
			format = `{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`
		}
		if o.Quiet {
			format = `{{.ID}}`
		}
	case strings.HasPrefix(format, "table "):
		table = true
		format = strings.TrimSpace(strings.TrimPrefix(format, "table "))
	}
	t, err := template.New("").Funcs(templateFuncs()).Parse(strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format))
	if err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	if !table {
		return execute(out, t, rows)
	}
	w := tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)
	// The header is the template, too, executed on the titles.
	if err := t.Execute(w, imageHeaders); err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	fmt.Fprintln(w)
	if err := execute(w, t, rows); err != nil {
		return err
	}
	return w.Flush()
}

func execute(out io.Writer, t *template.Template, rows []*imageRow) error {
	var b bytes.Buffer
	for _, r := range rows {
		if err := t.Execute(&b, r); err != nil {
			return fmt.Errorf("template parsing error: %w", err)
		}
		b.WriteByte('\n')
	}
	_, err := out.Write(b.Bytes())
	return err
}
