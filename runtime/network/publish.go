package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
)

// A Port is a port of a container that others reach by one of the host.
type Port struct {
	Protocol  string     // "tcp" or "udp"
	Container uint16     // in the container
	HostIP    netip.Addr // on the host; not valid: any, of IPv4 and of IPv6
	First     uint16     // of the ports on the host of which one is taken; 0: the kernel chooses
	Last      uint16     // the last of them
}

// A Bound port is one that is published.
type Bound struct {
	Protocol  string
	Container uint16
	HostIP    netip.Addr
	Host      uint16
}

// A PortTakenError says that somebody has a port on the host. It is in Docker's words.
type PortTakenError struct {
	Address netip.AddrPort
	Err     error
}

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("Bind for %s failed: port is already allocated", e.Address)
}

// Unwrap is the kernel's answer.
func (e *PortTakenError) Unwrap() error { return e.Err }

// Listening are ports of the host that are held for a container.
type Listening struct {
	Bound    []Bound
	services []*service
}

// Listen takes ports of the host, all of them or none. Connections wait until
// [Attachment.Publish]; Close gives the ports back. A port that somebody has is a
// [PortTakenError].
func Listen(ports []Port) (*Listening, error) {
	l := new(Listening)
	for _, p := range ports {
		if err := l.add(p); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// Close gives the ports back, unless they were published.
func (l *Listening) Close() {
	for _, s := range l.services {
		s.close()
	}
	l.services = nil
}

// add takes one port of those that will do.
func (l *Listening) add(p Port) error {
	var first error
	tries := int(p.Last) - int(p.First) + 1
	if p.First == 0 {
		tries = 16 // the kernel's choice for one address may be taken at another
	}
	for n := range tries {
		port := p.First
		if port != 0 {
			port += uint16(n)
		}
		services, err := listenAll(p, port)
		if err == nil {
			for _, s := range services {
				l.services = append(l.services, s)
				l.Bound = append(l.Bound, s.bound)
			}
			return nil
		}
		if first == nil {
			first = err
		}
		if !errors.As(err, new(*PortTakenError)) {
			break
		}
	}
	return first
}

// listenAll takes one port, of IPv4 and of IPv6 where no address was said.
func listenAll(p Port, port uint16) ([]*service, error) {
	if p.HostIP.IsValid() {
		s, err := listen(p, p.HostIP, port)
		if err != nil {
			return nil, err
		}
		return []*service{s}, nil
	}
	four, err := listen(p, netip.IPv4Unspecified(), port)
	if err != nil {
		return nil, err
	}
	six, err := listen(p, netip.IPv6Unspecified(), four.bound.Host)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) { // no IPv6 here
		return []*service{four}, nil
	}
	if err != nil {
		four.close()
		return nil, err
	}
	return []*service{four, six}, nil
}

// A service is one port of the host.
type service struct {
	bound  Bound
	tcp    *net.TCPListener
	udp    *net.UDPConn
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func listen(p Port, ip netip.Addr, port uint16) (*service, error) {
	s := &service{bound: Bound{Protocol: p.Protocol, Container: p.Container, HostIP: ip, Host: port}, cancel: func() {}}
	family, at := "4", netip.AddrPortFrom(ip, port)
	if ip.Is6() {
		family = "6" // and not IPv4 too
	}
	var err error
	var got net.Addr
	switch p.Protocol {
	case "tcp":
		if s.tcp, err = net.ListenTCP("tcp"+family, net.TCPAddrFromAddrPort(at)); err == nil {
			got = s.tcp.Addr()
		}
	case "udp":
		if s.udp, err = net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(at)); err == nil {
			got = s.udp.LocalAddr()
		}
	default:
		err = fmt.Errorf("protocol %q can't be published: there are tcp and udp", p.Protocol)
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, &PortTakenError{at, err}
	case errors.Is(err, unix.EACCES):
		return nil, hint.With(fmt.Errorf("cannot expose privileged port %d: %w", port, err),
			"choose a port from 1024 on, or as root: sysctl net.ipv4.ip_unprivileged_port_start="+strconv.Itoa(int(port)))
	case err != nil:
		return nil, err
	}
	bound, err := netip.ParseAddrPort(got.String())
	s.bound.Host = bound.Port()
	return s, err
}

// Publish has connections to ports of the host go to the container, until Close. The
// attachment owns them from then on.
func (a *Attachment) Publish(l *Listening) {
	for _, s := range l.services {
		ctx, cancel := context.WithCancel(context.Background())
		s.cancel = cancel
		if s.tcp != nil {
			s.wg.Go(func() { s.serveTCP(ctx, a) })
		} else {
			s.wg.Go(func() { s.serveUDP(ctx, a) })
		}
	}
	a.services = append(a.services, l.services...)
	l.services = nil
}

// close gives the port back, and ends its connections.
func (s *service) close() {
	s.cancel()
	if s.tcp != nil {
		s.tcp.Close()
	}
	if s.udp != nil {
		s.udp.Close()
	}
	s.wg.Wait()
}

func (s *service) serveTCP(ctx context.Context, a *Attachment) {
	for {
		c, err := s.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors: others will end, and give theirs back
			time.Sleep(10 * time.Millisecond)
			continue
		}
		s.wg.Go(func() {
			out, err := a.dial(ctx, "tcp", s.bound.Container)
			if err != nil {
				_ = c.SetLinger(0) // refused, as the container did
				c.Close()
				return
			}
			join(ctx, c, out.(*net.TCPConn))
		})
	}
}
