package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

var loopback = mustAddr("127.0.0.1")

// onLoopback is an attachment whose container is the loopback interface.
func onLoopback(t *testing.T) *Attachment {
	a := &Attachment{Address: netip.PrefixFrom(loopback, 8), host: true}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func mustListen(t *testing.T, ports ...Port) *Listening {
	t.Helper()
	l, err := Listen(ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestListenAllOrNone(t *testing.T) {
	held := mustListen(t, Port{Protocol: "tcp", Container: 80, HostIP: loopback})
	taken := held.Bound[0].Host
	other := mustListen(t, Port{Protocol: "tcp", Container: 80, HostIP: loopback})
	free := other.Bound[0].Host
	other.Close()
	_, err := Listen([]Port{
		{Protocol: "tcp", Container: 80, HostIP: loopback, First: free, Last: free},
		{Protocol: "tcp", Container: 81, HostIP: loopback, First: taken, Last: taken},
	})
	var got *PortTakenError
	want := fmt.Sprintf("Bind for 127.0.0.1:%d failed: port is already allocated", taken)
	if !errors.As(err, &got) || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	mustListen(t, Port{Protocol: "tcp", Container: 80, HostIP: loopback, First: free, Last: free})
}

func TestListenRange(t *testing.T) {
	held := mustListen(t, Port{Protocol: "udp", Container: 80, HostIP: loopback})
	first := held.Bound[0].Host
	if first > 65000 {
		t.Skip("SKIPPED: the kernel chose a port too near to the end")
	}
	l := mustListen(t, Port{Protocol: "udp", Container: 80, HostIP: loopback, First: first, Last: first + 100})
	if got := l.Bound[0].Host; got <= first || got > first+100 {
		t.Errorf("got %d of %d-%d, whose first is taken", got, first, first+100)
	}
	if _, err := Listen([]Port{{Protocol: "udp", Container: 80, HostIP: loopback, First: first, Last: first}}); err == nil {
		t.Error("got one that is taken")
	}
	if _, err := Listen([]Port{{Protocol: "sctp", Container: 80}}); err == nil {
		t.Error("got one of sctp")
	}
}

// TestListenBoth: without an address the port is the same for IPv4 and IPv6.
func TestListenBoth(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("SKIPPED: this machine has no IPv6: ", err)
	} else {
		l.Close()
	}
	l := mustListen(t, Port{Protocol: "tcp", Container: 80})
	if len(l.Bound) != 2 || l.Bound[0].Host != l.Bound[1].Host || !l.Bound[1].HostIP.Is6() {
		t.Errorf("got %v", l.Bound)
	}
}

// TestPublishTCP: what is sent arrives, also after the other direction has ended.
func TestPublishTCP(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(c) // to the end that the client sends
				_, _ = c.Write(b)
			}()
		}
	}()
	a, l := onLoopback(t), mustListen(t, Port{Protocol: "tcp", Container: uint16(server.Addr().(*net.TCPAddr).Port), HostIP: loopback})
	address := netip.AddrPortFrom(loopback, l.Bound[0].Host).String()
	a.Publish(l)
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(i / 7)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			go func() {
				_, _ = c.Write(sent)
				_ = c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || string(got) != string(sent) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()

	// One that is open ends with the attachment, and the port is free.
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("the port is still there")
	}
}

// TestPublishUDP: clients get their own answers.
func TestPublishUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, maxPacket)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(append([]byte("you said "), b[:n]...), from)
		}
	}()
	a, l := onLoopback(t), mustListen(t, Port{Protocol: "udp", Container: uint16(server.LocalAddr().(*net.UDPAddr).Port), HostIP: loopback})
	address := netip.AddrPortFrom(loopback, l.Bound[0].Host).String()
	a.Publish(l)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			c, err := net.Dial("udp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			said := fmt.Sprintf("%d", i)
			for range 3 {
				if _, err := c.Write([]byte(said)); err != nil {
					t.Error(err)
				}
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
				b := make([]byte, 100)
				n, err := c.Read(b)
				if got := string(b[:n]); err != nil || got != "you said "+said {
					t.Errorf("client %d got %q, %v", i, got, err)
				}
			}
		})
	}
	wg.Wait()
}
