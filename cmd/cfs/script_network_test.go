package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netlink"
)

// outside is an address in the scripts' network that is not of the loopback interface.
const outside = "198.51.100.1"

// ownNetwork sets up the network namespace of the scripts: a loopback interface, and one
// with an address and a default route, by which nothing goes further. The bridge and
// the rules that containers get lie in it, and go with it.
func ownNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "outside0"
	veth := netlink.NewVeth(attrs)
	veth.PeerName = "outside1"
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("an outside for containers: %w", err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(outside).To4(), Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(veth, addr); err != nil {
		return err
	}
	for _, name := range []string{"outside0", "outside1"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: veth.Attrs().Index, Gw: net.ParseIP("198.51.100.2")})
}

// answerMain is the program
//
//	answer tcp|udp ADDRESS TEXT
//
// It answers whoever connects, or sends a packet, with TEXT, or with who it is for "-".
// It is bound into containers from $WORK/bin.
func answerMain() {
	protocol, address, text := os.Args[1], os.Args[2], os.Args[3]
	say := func(to net.Addr) []byte {
		if text == "-" {
			return []byte(to.String() + "\n")
		}
		return []byte(text + "\n")
	}
	if protocol == "udp" {
		l, err := net.ListenPacket(protocol, address)
		for b := make([]byte, 1000); err == nil; {
			var from net.Addr
			if _, from, err = l.ReadFrom(b); err == nil {
				_, err = l.WriteTo(say(from), from)
			}
		}
		log.Fatal(err)
	}
	l, err := net.Listen(protocol, address)
	for err == nil {
		var c net.Conn
		if c, err = l.Accept(); err == nil {
			go func() {
				_, _ = c.Write(say(c.RemoteAddr()))
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			}()
		}
	}
	log.Fatal(err)
}

// dial is the script command
//
//	[!] dial tcp|udp ADDRESS|@FILE
//
// where the address may be in a file. What listens may just be starting, so that it is asked again for a while; but once is
// enough to tell that nothing does.
func dial(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: dial tcp|udp ADDRESS")
	}
	if file, ok := strings.CutPrefix(args[1], "@"); ok {
		args[1] = strings.TrimSpace(ts.ReadFile(file))
	}
	answer, err := ask(args[0], args[1])
	if neg {
		if err == nil {
			ts.Fatalf("%s %s answers %q", args[0], args[1], answer)
		}
		return
	}
	for end := time.Now().Add(20 * time.Second); err != nil; answer, err = ask(args[0], args[1]) {
		if time.Now().After(end) {
			ts.Fatalf("%s %s: %v", args[0], args[1], err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprint(ts.Stdout(), answer)
}

func ask(protocol, address string) (string, error) {
	c, err := net.DialTimeout(protocol, address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write([]byte("ping\n")); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	b := make([]byte, 1000)
	n, err := c.Read(b)
	return string(b[:n]), err
}

// noLink is the script command
//
//	nolink FILE
//
// It waits until no interface of the host belongs to the container's address in the
// file. The kernel takes its time with those of containers that were killed.
func noLink(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nolink FILE")
	}
	a, err := netip.ParseAddr(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	ip := a.As4()
	name := fmt.Sprintf("cfs%05x", int(ip[2])<<8|int(ip[3])) // the network is a /16
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := netlink.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return
		}
		ts.Check(err)
		if time.Now().After(end) {
			ts.Fatalf("there still is %s", name)
		}
	}
}
