package imagecmd

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// csvFields are the fields of a flag's value as Docker takes them: a line of comma-separated
// values (RFC 4180), in which a field that holds a comma is quoted, "src=a,b".
func csvFields(s string) ([]string, error) {
	if s == "" {
		return []string{""}, nil
	}
	r := csv.NewReader(strings.NewReader(s))
	fields, err := r.Read()
	if err != nil {
		return nil, err
	}
	if _, err := r.Read(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one line")
	}
	return fields, nil
}
