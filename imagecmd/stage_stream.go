package imagecmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// talk is what a stage that writes a stream says beside it: one JSON object a line
// on its standard error.
type talk struct {
	Path, What  string `json:",omitempty"` // what was left out, and why
	Error, Hint string `json:",omitempty"` // why the stage failed; its last word
}

// sayNote tells the process that started this stage of a thing left out.
func sayNote(path, what string) { say(talk{Path: path, What: what}) }

func say(t talk) { _ = json.NewEncoder(os.Stderr).Encode(t) }

// streamStatus ends a stage that writes a stream.
func streamStatus(err error) int {
	if err == nil {
		return 0
	}
	say(talk{Error: err.Error(), Hint: hint.Of(err)})
	return runtime.StatusFailed
}

// stageStream is the standard output of a stage.
type stageStream struct {
	out *os.File
	end func() error // waits for the stage and says how it ended
}

// streamStage starts a stage that writes a stream, which ends with the stage's
// error if it fails: half of one can't be taken for the whole. note is told what
// the stage left out, before the stream's end.
func streamStage(ctx context.Context, m userns.Mapping, name string, payload []byte, note func(path, what string)) (io.ReadCloser, error) {
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	said, theirSaid, err := os.Pipe()
	if err != nil {
		out.Close()
		theirOut.Close()
		return nil, err
	}
	p, err := stage.Start(m, name, payload, stage.Stdio{Out: theirOut, Err: theirSaid})
	theirOut.Close()
	theirSaid.Close()
	if err != nil {
		out.Close()
		said.Close()
		return nil, err
	}
	// Larger than a pipe is by default; where that is too much for the user, slower.
	_, _ = unix.FcntlInt(out.Fd(), unix.F_SETPIPE_SZ, 1<<20)
	stop := context.AfterFunc(ctx, p.Kill)
	ended, heard := make(chan error, 1), make(chan error, 1)
	go func() { heard <- listen(said, note) }()
	go func() {
		status, err := p.Attend()
		why := <-heard
		p.Uncatch() // what is still to be done here may be interrupted again
		stop()
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case err != nil || status == 0:
		case why != nil:
			err = why
		default:
			err = fmt.Errorf("%s ended with status %d", name, status)
		}
		ended <- err
	}()
	return &stageStream{out, sync.OnceValue(func() error { return <-ended })}, nil
}

// listen reads what a stage says, and returns why it failed.
func listen(said *os.File, note func(path, what string)) error {
	defer said.Close()
	var why error
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var t talk
		switch err := json.Unmarshal(lines.Bytes(), &t); {
		case err != nil: // Go's own last words
			if why == nil {
				why = errors.New(strings.TrimSpace(lines.Text()))
			}
		case t.Error != "":
			why = hint.With(errors.New(t.Error), t.Hint)
		case note != nil:
			note(t.Path, t.What)
		}
	}
	return why
}

func (s *stageStream) Read(b []byte) (int, error) {
	n, err := s.out.Read(b)
	if err == io.EOF {
		if failed := s.end(); failed != nil {
			err = failed
		}
	}
	return n, err
}

// Close ends the stage if it has not ended: its next write fails.
func (s *stageStream) Close() error {
	s.out.Close()
	_ = s.end()
	return nil
}
