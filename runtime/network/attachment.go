package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
)

// ErrUnavailable is wrapped when this host, or its kernel, has no such network for this
// process. The error may carry a hint.
var ErrUnavailable = errors.New("network unavailable")

// An Attachment is a container's connection with the outside.
type Attachment struct {
	// Driver is what serves it: "bridge", "pasta", "slirp4netns" or "netstack".
	Driver string
	// Address is the container's, with the length of its network's prefix.
	Address netip.Prefix
	// Gateway is where the container sends what is for others.
	Gateway netip.Addr
	// Address6 and Gateway6 are the same of IPv6; not valid where the container has none.
	Address6 netip.Prefix
	Gateway6 netip.Addr
	// MAC is the hardware address of the container's interface; nil if it has none.
	MAC net.HardwareAddr
	// Nameserver, if valid, is an address in the container at which the host's own name
	// servers answer, those on its loopback interface too.
	Nameserver netip.Addr
	// Warning is what a person should know, or empty.
	Warning string

	// onlyNameserver tells that these servers answer there, and by their own addresses not.
	onlyNameserver bool

	// reaches6 tells that addresses of IPv6 that are not of the host are reached.
	reaches6 bool

	ns       *os.File
	host     bool // the host itself reaches the container's address
	ends     []func() error
	services []*service
}

// Options say which container is attached.
type Options struct {
	// Namespace is the container's network namespace, opened by the path /proc/PID/ns/net.
	// The attachment does not close it, and needs it until Close.
	Namespace *os.File
	// ID is the container's, from which its address is derived. Any text.
	ID string
	// Log may be nil.
	Log *slog.Logger
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// Attach connects a namespace that has nothing but a loopback interface: by the bridge
// where this process may, otherwise by a user-mode network. An error wraps
// [ErrUnavailable] where neither can be had here.
func Attach(ctx context.Context, o Options) (*Attachment, error) {
	a, err := Bridge(o)
	if err == nil {
		return a, nil
	}
	if !errors.Is(err, ErrUnavailable) {
		return nil, err
	}
	privileged := os.Geteuid() == 0 && mayHaveBridge()
	a, userErr := User(ctx, o)
	if userErr != nil {
		if privileged {
			return nil, fmt.Errorf("%w; %w", err, userErr)
		}
		return nil, userErr
	}
	if privileged {
		a.Warning = fmt.Sprintf("%v: a user-mode network (%s) instead", err, a.Driver)
	}
	return a, nil
}

// HostAddress is one of the host's by which the container reaches it: the bridge's, or what
// the host itself has towards the outside.
func (a *Attachment) HostAddress() (netip.Addr, error) {
	if a.host {
		return a.Gateway, nil
	}
	// Sends nothing: the kernel chooses the address that a packet to a machine elsewhere,
	// one of documentation's (RFC 5737), would have.
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}, fmt.Errorf("the host has no address that others reach: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// Close ends what Publish has begun, and takes the connection down. Processes in the
// container may still run.
func (a *Attachment) Close() error {
	var errs []error
	for _, s := range a.services {
		s.close()
	}
	for i := len(a.ends) - 1; i >= 0; i-- {
		errs = append(errs, a.ends[i]())
	}
	a.services, a.ends = nil, nil
	return errors.Join(errs...)
}

// dial connects to a port of the container, as "tcp" or "udp".
func (a *Attachment) dial(ctx context.Context, protocol string, port uint16) (c net.Conn, err error) {
	d := net.Dialer{Timeout: dialTimeout}
	to := netip.AddrPortFrom(a.Address.Addr(), port).String()
	if a.host {
		return d.DialContext(ctx, protocol, to)
	}
	err = inside(a.ns, func() error {
		c, err = d.DialContext(ctx, protocol, to)
		return err
	})
	return c, err
}
