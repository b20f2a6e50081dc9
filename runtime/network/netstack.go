package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// tunMTU is the largest packet of the built-in network. No wire bounds it.
const tunMTU = 65520

// nic is the number of the one interface of a netstack.
const nic tcpip.NICID = 1

// attachNetstack serves the namespace in this process: gVisor's TCP/IP takes the packets
// of a tun device, and every connection that the container opens is opened once more on
// the host.
func attachNetstack(ctx context.Context, o Options) (end func() error, err error) {
	tun, err := openTun(o.Namespace)
	if err != nil {
		return nil, err
	}
	link, err := fdbased.New(&fdbased.Options{FDs: []int{tun}, MTU: tunMTU, PacketDispatchMode: fdbased.Readv, RXChecksumOffload: true})
	if err != nil {
		unix.Close(tun)
		return nil, err
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	end = func() error {
		cancel()
		s.Destroy()
		return unix.Close(tun)
	}
	f := &forwarder{ctx: ctx, log: o.log()}
	sack := tcpip.TCPSACKEnabled(true)
	for _, e := range []tcpip.Error{
		s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack),
		s.CreateNIC(nic, withoutPings(link)),
		// What is for anybody is for us, and our answers come from anybody.
		s.SetPromiscuousMode(nic, true),
		s.SetSpoofing(nic, true),
		s.AddProtocolAddress(nic, tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(userGateway.As4()), PrefixLen: userAddress.Bits()},
		}, stack.AddressProperties{}),
	} {
		if e != nil {
			return nil, errors.Join(fmt.Errorf("netstack: %v", e), end())
		}
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s, 0, maxConnecting, f.tcp).HandlePacket)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s, f.udp).HandlePacket)
	if err := (&Attachment{ns: o.Namespace, Address: userAddress, Gateway: userGateway}).configureLink(tunMTU); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// openTun makes the device in the namespace, and returns the side whose packets are
// those of IP.
func openTun(ns *os.File) (fd int, err error) {
	err = inside(ns, func() error {
		if fd, err = unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open %s: %w", tunDevice, err)
		}
		req, err := unix.NewIfreq(containerLink)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			unix.Close(fd)
			return fmt.Errorf("make a tun device: %w", err)
		}
		return nil
	})
	return fd, err
}

// allowed tells whether a packet to an address is passed on, and to where: not to the
// host's loopback interface or its neighbours on the wire, which no packet from
// another machine would reach either. Only the host's name server is an exception.
func allowed(a netip.Addr, port uint16) (to string, ok bool) {
	switch {
	case a == userNameserver && port == 53:
		servers := hostNameservers()
		if len(servers) == 0 {
			return "", false
		}
		a = servers[0]
	case !a.IsGlobalUnicast() && !a.IsLinkLocalUnicast(), userAddress.Masked().Contains(a):
		return "", false
	}
	return netip.AddrPortFrom(a, port).String(), true
}

// localAddr is where a packet is for.
func localAddr(id stack.TransportEndpointID) (netip.Addr, uint16) {
	return netip.AddrFrom4(id.LocalAddress.As4()), id.LocalPort
}
