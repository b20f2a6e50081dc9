package network

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialTimeout bounds how long a connection that is passed on may take to be made.
	dialTimeout = 30 * time.Second
	// udpTimeout is how long packets of UDP belong together, Docker's number.
	udpTimeout = 90 * time.Second
	// maxPacket is as large as a packet of UDP can be.
	maxPacket = 65507
)

// A halfCloser is a connection of TCP: the host's, or one of gVisor's.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// join copies what comes on one connection to the other, both ways. The end of one
// direction is passed on, and when both have ended, or ctx has, both are closed.
func join(ctx context.Context, a, b halfCloser) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	defer b.Close()
	defer a.Close()
	var wg sync.WaitGroup
	for _, c := range [][2]halfCloser{{a, b}, {b, a}} {
		wg.Go(func() {
			if _, err := io.Copy(c[0], c[1]); err != nil {
				a.Close() // neither can go on: what one has lost the other can't get
				b.Close()
				return
			}
			_ = c[0].CloseWrite()
		})
	}
	wg.Wait()
}

// exchange passes packets on between two connected sockets, until none has come for
// udpTimeout or ctx is done, and closes both. A port that refuses them is no end: its
// program may just be starting.
func exchange(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	var wg sync.WaitGroup
	for _, c := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			defer a.Close()
			defer b.Close()
			copyPackets(c[0], c[1], func() { extend(a, b) })
		})
	}
	wg.Wait()
}

// copyPackets passes packets on until reading fails. alive is called before the first
// and for each.
func copyPackets(to io.Writer, from net.Conn, alive func()) {
	buf := make([]byte, maxPacket)
	alive()
	for {
		n, err := from.Read(buf)
		switch {
		case err == nil:
			alive()
			_, _ = to.Write(buf[:n]) // it may get lost, as everywhere
		case errors.Is(err, unix.ECONNREFUSED): // what an earlier packet has met
		default:
			return
		}
	}
}
