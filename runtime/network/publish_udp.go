package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxClients bounds how many clients of a UDP port are remembered: each has a socket.
const maxClients = 4096

// serveUDP gives every client of a port a socket of its own towards the container, so
// that answers find their way back.
func (s *service) serveUDP(ctx context.Context, a *Attachment) {
	var mu sync.Mutex
	clients := map[netip.AddrPort]net.Conn{}
	buf := make([]byte, maxPacket)
	for {
		n, client, err := s.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of a packet that was sent earlier
			continue
		}
		mu.Lock()
		out, full := clients[client], len(clients) >= maxClients
		mu.Unlock()
		if out == nil {
			if full {
				continue
			}
			if out, err = a.dial(ctx, "udp", s.bound.Container); err != nil {
				continue
			}
			mu.Lock()
			clients[client] = out
			mu.Unlock()
			s.wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { out.Close() })
				defer stop()
				copyPackets(udpClient{s.udp, client}, out, func() { extend(out) })
				mu.Lock()
				delete(clients, client)
				mu.Unlock()
				out.Close()
			})
		}
		extend(out)
		_, _ = out.Write(buf[:n]) // it may get lost, as everywhere
	}
}

// extend gives a connection of UDP another udpTimeout.
func extend(conns ...net.Conn) {
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(udpTimeout))
	}
}

// A udpClient is who gets the answers.
type udpClient struct {
	conn *net.UDPConn
	to   netip.AddrPort
}

func (c udpClient) Write(b []byte) (int, error) { return c.conn.WriteToUDPAddrPort(b, c.to) }
