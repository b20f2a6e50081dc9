package network

import (
	"context"
	"log/slog"
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// maxConnecting is how many connections may be being opened at once; more are tried
// again by the container's kernel.
const maxConnecting = 1024

// A forwarder opens on the host what a container opens.
type forwarder struct {
	ctx context.Context // ends all of it
	log *slog.Logger
}

// tcp answers the first packet of a connection when the host has one, or is refused: the
// container sees what the host saw.
func (f *forwarder) tcp(r *tcp.ForwarderRequest) {
	to, ok := allowed(localAddr(r.ID()))
	if !ok {
		r.Complete(true)
		return
	}
	d := net.Dialer{Timeout: dialTimeout}
	out, err := d.DialContext(f.ctx, "tcp", to)
	if err != nil {
		f.log.Debug("connection from a container", "to", to, "error", err)
		r.Complete(true)
		return
	}
	var queue waiter.Queue
	ep, e := r.CreateEndpoint(&queue)
	r.Complete(e != nil)
	if e != nil {
		f.log.Debug("connection from a container", "to", to, "error", e)
		out.Close()
		return
	}
	ep.SocketOptions().SetKeepAlive(true) // who is gone without a word is found out
	join(f.ctx, gonet.NewTCPConn(&queue, ep), out.(*net.TCPConn))
}

// udp has packets from one port to another go by a socket of their own, as long as there
// are some.
func (f *forwarder) udp(r *udp.ForwarderRequest) {
	to, ok := allowed(localAddr(r.ID()))
	if !ok {
		return
	}
	out, err := net.Dial("udp", to) // asks nobody
	if err != nil {
		f.log.Debug("packet from a container", "to", to, "error", err)
		return
	}
	var queue waiter.Queue
	ep, e := r.CreateEndpoint(&queue)
	if e != nil {
		f.log.Debug("packet from a container", "to", to, "error", e)
		out.Close()
		return
	}
	go exchange(f.ctx, gonet.NewUDPConn(&queue, ep), out)
}

// withoutPings is a link whose ICMP packets from the container get lost: the stack would
// answer every ping itself, and say of every address that it is there.
func withoutPings(child stack.LinkEndpoint) stack.LinkEndpoint {
	l := new(pingless)
	l.Init(child, l)
	return l
}

type pingless struct{ nested.Endpoint }

// DeliverNetworkPacket passes on what is no ICMP.
func (l *pingless) DeliverNetworkPacket(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	if protocol == header.IPv6ProtocolNumber {
		if b, ok := pkt.Data().PullUp(header.IPv6MinimumSize); ok && header.IPv6(b).TransportProtocol() == header.ICMPv6ProtocolNumber {
			return
		}
	} else if b, ok := pkt.Data().PullUp(header.IPv4MinimumSize); ok && header.IPv4(b).TransportProtocol() == header.ICMPv4ProtocolNumber {
		return
	}
	l.Endpoint.DeliverNetworkPacket(protocol, pkt)
}
