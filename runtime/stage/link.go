package stage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Frames are a kind byte, the body's length as a little-endian uint32, the body.
const (
	framePayload = 'P' // P → S: the payload
	frameSignal  = 'S' // P → S: one byte, the signal's number
	frameDetach  = 'D' // P → S: empty; P ends next, and S is to go on
	frameReady   = 'R' // S → P: empty; S may be detached
	framePart    = 'E' // S → P: one byte, the status P is to end with; S goes on
)

// maxFrame bounds what a frame may claim to be long.
const maxFrame = 64 << 20

// ErrParentGone is the cause of the link's context being cancelled.
var ErrParentGone = errors.New("the command that started this process is gone")

// A Link is a stage's connection to the process that started it.
type Link struct {
	ctx     context.Context
	signals chan os.Signal
	file    *os.File
}

// Context is cancelled, with [ErrParentGone], once the starting process died without
// having detached the stage.
func (l *Link) Context() context.Context { return l.ctx }

// Signals delivers what the starting process was sent, SIGWINCH included, and
// SIGTERM, SIGINT, SIGHUP and SIGQUIT that were sent to the stage itself.
func (l *Link) Signals() <-chan os.Signal { return l.signals }

func newLink(file *os.File) *Link {
	ctx, cancel := context.WithCancelCause(context.Background())
	l := &Link{ctx: ctx, signals: make(chan os.Signal, 64), file: file}
	signal.Notify(l.signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT)
	go func() {
		for {
			kind, body, err := readFrame(file)
			if err != nil {
				cancel(ErrParentGone)
				return
			}
			if kind == frameDetach {
				return
			}
			if kind != frameSignal || len(body) != 1 {
				continue
			}
			select {
			case l.signals <- unix.Signal(body[0]):
			case <-ctx.Done():
			default: // nobody listens and the queue is full: as pending signals, they merge
			}
		}
	}()
	return l
}

// Ready tells a starting process that waits in [Process.Detach] that the stage can do
// without it.
func (l *Link) Ready() {
	writeFrame(l.file, frameReady, nil) // the process may be gone; the context says so
}

// Part has a starting process that waits in [Process.Attend] end with a status. The
// stage goes on without it.
func (l *Link) Part(status int) {
	writeFrame(l.file, framePart, []byte{byte(status)})
}

func writeFrame(w io.Writer, kind byte, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("payload of %d bytes is more than %d", len(body), maxFrame)
	}
	b := make([]byte, 5, 5+len(body))
	b[0] = kind
	binary.LittleEndian.PutUint32(b[1:], uint32(len(body)))
	_, err := w.Write(append(b, body...))
	return err
}

func readFrame(r io.Reader) (kind byte, body []byte, err error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(h[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes is more than %d", n, maxFrame)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return h[0], body, err
}
