package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cfs-project/cfs/runtime/oci"
)

// A runtimeLog is the file that an engine reads a runtime's errors from.
type runtimeLog struct {
	file  *os.File // nil: there is none
	json  bool
	debug bool
}

func openRuntimeLog(path, format string, debug bool) (*runtimeLog, error) {
	l := &runtimeLog{json: format == "json", debug: debug}
	if format != "json" && format != "text" {
		return nil, fmt.Errorf("--log-format %q: text or json", format)
	}
	if path == "" {
		if debug {
			l.file = os.Stderr
		}
		return l, nil
	}
	var err error
	l.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	return l, err
}

// line appends one message; a log that can't be written to fails nothing.
func (l *runtimeLog) line(level, text string) {
	if l == nil || l.file == nil || level == "debug" && !l.debug || l.file == os.Stderr && level != "debug" {
		return
	}
	now := time.Now().Format(time.RFC3339)
	if !l.json {
		fmt.Fprintf(l.file, "time=%q level=%s msg=%q\n", now, level, text)
		return
	}
	b, err := json.Marshal(struct {
		Level string `json:"level"`
		Msg   string `json:"msg"`
		Time  string `json:"time"`
	}{level, text, now})
	if err == nil {
		_, _ = l.file.Write(append(b, '\n'))
	}
}

func isNotExist(err error) bool { return errors.Is(err, oci.ErrNotExist) }
