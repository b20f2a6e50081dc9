package runtime

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Messages between supervisor and init: a kind byte, the body's length as a
// little-endian uint32, the body; descriptors come with the first byte.
const (
	msgConfig  = 'C' // supervisor → init: initConfig (package wire), with its descriptors
	msgConsole = 'T' // init → supervisor: a terminal's master as descriptor
	msgWarning = 'W' // init → supervisor: text of a warning
	msgReady   = 'R' // init → supervisor: set up; the command is executed next
	msgError   = 'E' // init → supervisor: initError as JSON
	msgHooks   = 'H' // init → creator: run the hooks of the host; init waits for one byte back
	msgTree    = 'B' // init → creator: the index of a tree; creator → init: the tree
	// init → supervisor: the number of its seccomp listener, which the supervisor
	// fetches and hands on; init waits for one byte back.
	msgListener = 'L'
)

const (
	// maxMessage bounds what a message may claim to be long. The kernel bounds
	// arguments and environment to 6 MiB together.
	maxMessage = 32 << 20
	// maxFDs is the kernel's SCM_MAX_FD.
	maxFDs = 253
)

// A socket is one end of the stream between supervisor and init.
type socket struct{ fd int }

func (s socket) send(kind byte, body []byte, fds []int) error {
	b := make([]byte, 5, 5+len(body))
	b[0] = kind
	binary.LittleEndian.PutUint32(b[1:], uint32(len(body)))
	b = append(b, body...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	return sendAll(s.fd, b, oob)
}

// sendAll sends b, the control message oob with its first byte.
func sendAll(fd int, b, oob []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(fd, b, oob, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, oob = b[n:], nil
	}
	return nil
}

// receive returns io.EOF when the other end is closed.
func (s socket) receive() (kind byte, body []byte, fds []int, err error) {
	var h [5]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	got := 0
	for got < len(h) {
		n, oobn, _, _, err := unix.Recvmsg(s.fd, h[got:], oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			return 0, nil, fds, err
		}
		got += n
		more, err := rights(oob[:oobn])
		fds = append(fds, more...)
		if err != nil {
			return 0, nil, fds, err
		}
	}
	n := binary.LittleEndian.Uint32(h[1:])
	if n > maxMessage {
		return 0, nil, fds, fmt.Errorf("message of %d bytes is more than %d", n, maxMessage)
	}
	body = make([]byte, n)
	for rest := body; len(rest) > 0; {
		n, err := unix.Read(s.fd, rest)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, nil, fds, err
		}
		rest = rest[n:]
	}
	return h[0], body, fds, nil
}

func rights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var fds []int
	for i := range msgs {
		more, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return fds, err
		}
		fds = append(fds, more...)
	}
	return fds, nil
}
