package imagecmd

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
)

// containerControl is the socket by which other commands talk to a container's
// monitor, in its directory.
const containerControl = "control"

// A controlRequest is the first message of a connection; descriptors may come with it.
type controlRequest struct {
	Op     string         // one of the op constants
	Signal int            `json:",omitempty"`
	Attach *attachRequest `json:",omitempty"`
	Exec   *execRequest   `json:",omitempty"`
	Copy   *copyRequest   `json:",omitempty"`
	Limits *Limits        `json:",omitempty"`
	// Rows and Cols are the size of the terminal of who asks, where it has one.
	Rows, Cols uint16 `json:",omitempty"`
}

const (
	opSignal  = "signal"  // send Signal to the container's process
	opWait    = "wait"    // answered when the container has ended, with its status
	opAttach  = "attach"  // the descriptors are clients' files; answered when it is over
	opExec    = "exec"    // the descriptors are 0, 1 and 2; answered when it has ended
	opPause   = "pause"   // stop all processes
	opUnpause = "unpause" // let them go on
	opTop     = "top"     // the container's processes
	opCopy    = "copy"    // the descriptor is of a tar; answered when it was read or written
	opEnd     = "end"     // let it not be started again, once it has ended
	opUpdate  = "update"  // set Limits
	opStats   = "stats"   // what it uses
	opFlush   = "flush"   // write what programs have changed in memory that they map from files
)

// A controlEvent is a later message of who asked: a signal or a size to be passed on.
type controlEvent struct {
	Signal     int    `json:",omitempty"`
	Rows, Cols uint16 `json:",omitempty"`
}

// A controlReply answers a request.
type controlReply struct {
	Error, Hint string `json:",omitempty"`
	// Running is an answer before the last: what was asked for has begun, and a
	// terminal's master came along if there is one.
	Running bool  `json:",omitempty"`
	Status  int   `json:",omitempty"` // exit status of what was waited for
	Pids    []int `json:",omitempty"`
	Ended   bool  `json:",omitempty"` // with the status, the container has

	Copied  *copyAnswer `json:",omitempty"`
	Again   bool        `json:",omitempty"` // it will be started again
	Resting bool        `json:",omitempty"` // it waits to be started again, and has no process now

	Usage *resourceUse `json:",omitempty"`
}

// maxControl bounds a message, in bytes: the arguments and environment of a process.
const maxControl = 16 << 20

// A controlConn is either end of a connection.
type controlConn struct {
	*net.UnixConn
	mu sync.Mutex // held while a message is written
}

// send writes a message: its length as a little-endian uint32, and it as JSON, with
// descriptors beside the first byte.
func (c *controlConn) send(v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	b = append(b, body...)
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _, err := c.WriteMsgUnix(b, oob, nil)
	if err == nil && n < len(b) {
		_, err = c.Write(b[n:])
	}
	return err
}

// receive reads a message into v, and what descriptors came with it.
func (c *controlConn) receive(v any) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeFiles(files)
			files = nil
		}
	}()
	head, oob := make([]byte, 4), make([]byte, unix.CmsgSpace(4*8))
	n, oobn, flags, _, err := c.ReadMsgUnix(head, oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return nil, err
	}
	if files, err = receivedFiles(oob[:oobn]); err != nil {
		return files, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return files, errors.New("too many descriptors")
	}
	if _, err := io.ReadFull(c, head[n:]); err != nil {
		return files, err
	}
	size := binary.LittleEndian.Uint32(head)
	if size > maxControl {
		return files, fmt.Errorf("message of %d bytes", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return files, err
	}
	return files, json.Unmarshal(body, v)
}

func receivedFiles(oob []byte) (files []*os.File, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
		if err != nil {
			return files, err
		}
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// socketAddress is a socket in a directory, by a name that is short enough for an
// address whatever the store's is. done ends its validity.
func socketAddress(dir, name string) (addr *net.UnixAddr, done func(), err error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, nil, err
	}
	return &net.UnixAddr{Name: filepath.Join(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), name), Net: "unix"}, func() { f.Close() }, nil
}

// dial connects to the container's monitor. ErrNotRunning: there is none.
func (c *Container) dial() (*controlConn, error) {
	addr, done, err := socketAddress(c.dir, containerControl)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := net.DialUnix("unix", nil, addr)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return nil, &notRunning{c}
	}
	if err != nil {
		return nil, fmt.Errorf("container %s: its monitor does not answer: %w", c.Label(), err)
	}
	return &controlConn{UnixConn: conn}, nil
}

// ask sends a request and returns the one answer to it.
func (c *Container) ask(req controlRequest) (controlReply, error) {
	conn, err := c.dial()
	if err != nil {
		return controlReply{}, err
	}
	defer conn.Close()
	if err := conn.send(req); err != nil {
		return controlReply{}, c.lost(err)
	}
	return conn.answer(c)
}

// lost turns the error of a connection that broke into what it means: the monitor has
// ended, or was killed, and so has the container.
func (c *Container) lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return &notRunning{c}
	}
	return err
}

// answer receives a reply that should be the last.
func (c *controlConn) answer(of *Container) (controlReply, error) {
	var r controlReply
	files, err := c.receive(&r)
	closeFiles(files)
	if err != nil {
		return r, of.lost(err)
	}
	if r.Error != "" && r.Error == (&notRunning{of}).Error() {
		return r, &notRunning{of}
	}
	return r, r.failed()
}

func (r controlReply) failed() error {
	if r.Error == "" {
		return nil
	}
	return hint.With(errors.New(r.Error), r.Hint)
}

// notRunning is Docker's sentence about a container that has no process.
type notRunning struct{ c *Container }

func (e *notRunning) Error() string { return "Container " + e.c.ID + " is not running" }

// Is tells that this is ErrNotRunning.
func (e *notRunning) Is(target error) bool { return target == ErrNotRunning }
