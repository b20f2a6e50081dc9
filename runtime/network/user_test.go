package network

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/deathsig"
)

// userNetwork attaches a namespace by a driver, or skips the test.
func userNetwork(t *testing.T, driver string, ns *os.File) *Attachment {
	t.Helper()
	t.Setenv(DriverEnv, driver)
	a, err := User(t.Context(), Options{Namespace: ns})
	if errors.Is(err, errNotInstalled) || errors.Is(err, os.ErrNotExist) {
		t.Skip("SKIPPED: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, a.Close()) })
	return a
}

func TestUserNetstack(t *testing.T) { testUser(t, "netstack") }
func TestUserSlirp(t *testing.T)    { testUser(t, "slirp4netns") }
func TestUserPasta(t *testing.T)    { testPasta(t, testUser) }

// testPasta is a test with pasta. One that is too old, as Debian 12's, must be refused by who
// asks for it, and passed over by who doesn't.
func testPasta(t *testing.T, test func(t *testing.T, driver string)) {
	if err := usablePasta(t.Context()); !errors.Is(err, errTooOld) {
		test(t, "pasta")
		return
	}
	if !ownNetwork(t) {
		return
	}
	outsideOf(t)
	ns, _ := newNamespace(t)
	t.Setenv(DriverEnv, "pasta")
	if _, err := User(t.Context(), Options{Namespace: ns}); !errors.Is(err, errTooOld) {
		t.Errorf("too old a pasta: %v", err)
	}
	if a := userNetwork(t, "", ns); a.Driver == "pasta" {
		t.Error("too old a pasta serves a network")
	}
}

// testUser: a container on a user-mode network reaches the host's addresses, but not its
// loopback interface, with whole data both ways; a refusal is seen; names are resolved; and
// its ports can be published.
func testUser(t *testing.T, driver string) {
	if !ownNetwork(t) {
		return
	}
	_, ours, _ := outsideOf(t)
	nameServer(t)
	ns, _ := newNamespace(t)
	a := userNetwork(t, driver, ns)

	echo, err := net.Listen("tcp4", ours.String()+":7000")
	must(t, err)
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(c) // to the end that the container sends
				_, _ = c.Write(b)
			}()
		}
	}()
	sent := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{1}).Read(sent)
	c, err := dialFrom(ns, "tcp4", echo.Addr().String())
	must(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	go func() {
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(sent), err)
	}

	if c, err := dialFrom(ns, "tcp4", ours.String()+":7001"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port that nobody listens on: %v, %v", c, err)
	}
	for _, address := range []string{"10.0.2.2:7002", "10.0.2.9:7002"} {
		l, err := net.Listen("tcp4", "127.0.0.1:7002")
		must(t, err)
		if c, err := dialFrom(ns, "tcp4", address); err == nil {
			c.Close()
			t.Errorf("%s is the host's loopback interface", address)
		}
		l.Close()
	}

	u, err := dialFrom(ns, "udp4", a.Nameserver.String()+":53")
	must(t, err)
	defer u.Close()
	b := make([]byte, 100)
	for range 3 {
		_, err = u.Write([]byte("a question"))
		must(t, err)
		_ = u.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := u.Read(b); err != nil || string(b[:n]) != "a question" {
			t.Fatalf("the name server says %q, %v", b[:n], err)
		}
	}

	go sayAddress(listenIn(t, ns, ":80"))
	l := mustListen(t, Port{Protocol: "tcp", Container: 80, HostIP: loopback})
	address := fmt.Sprintf("127.0.0.1:%d", l.Bound[0].Host)
	a.Publish(l)
	p, err := net.Dial("tcp4", address)
	must(t, err)
	defer p.Close()
	if got, err := io.ReadAll(p); err != nil || string(got) != userAddress.Addr().String() {
		t.Errorf("a published port says %q, %v", got, err)
	}
}

// TestUserPings: nobody answers pings in the name of others.
func TestUserPings(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	ns, _ := newNamespace(t)
	userNetwork(t, "netstack", ns)
	if err := exec.Command("nsenter", "--net="+ns.Name(), "busybox", "ping", "-c1", "-W1", "192.0.2.1").Run(); err == nil {
		t.Error("an address that nobody has answers pings")
	}
}

// TestProgramDies: what serves a network doesn't outlive who has started it.
func TestProgramDies(t *testing.T) {
	const helperVar = "CFS_TEST_ATTACH"
	if path := os.Getenv(helperVar); path != "" {
		ns, err := os.Open(path)
		must(t, err)
		a := userNetwork(t, "slirp4netns", ns)
		fmt.Println("\nattached", a.Driver)
		select {}
	}
	if !ownNetwork(t) {
		return
	}
	if _, err := exec.LookPath("slirp4netns"); err != nil {
		t.Skip("SKIPPED: ", err)
	}
	ns, _ := newNamespace(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestProgramDies$")
	cmd.Env = append(os.Environ(), helperVar+"="+ns.Name())
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, deathsig.Start(cmd))
	for in := bufio.NewScanner(out); in.Scan() && !strings.HasPrefix(in.Text(), "attached"); {
	}
	if programs(ns) == 0 {
		t.Fatal("nothing serves the network")
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for deadline := time.Now().Add(20 * time.Second); programs(ns) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("slirp4netns is still there")
		}
	}
}

// programs counts those that were told to serve a namespace.
func programs(ns *os.File) (n int) {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		b, _ := os.ReadFile("/proc/" + d.Name() + "/cmdline")
		if args := strings.Split(string(b), "\x00"); strings.HasSuffix(args[0], "slirp4netns") && strings.Contains(string(b), ns.Name()) {
			n++
		}
	}
	return n
}

func TestUserSixNetstack(t *testing.T) { testUserSix(t, "netstack", userAddress6, userGateway6) }
func TestUserSixSlirp(t *testing.T)    { testUserSix(t, "slirp4netns", slirpAddress6, slirpGateway6) }
func TestUserSixPasta(t *testing.T) {
	testPasta(t, func(t *testing.T, driver string) { testUserSix(t, driver, userAddress6, userGateway6) })
}

// testUserSix: where the host has a way out by IPv6, what serves the network passes it on, and
// says what was refused; addresses of the host's loopback interface are not reached. Ports
// are published at addresses of IPv6, too.
func testUserSix(t *testing.T, driver string, address netip.Prefix, gateway netip.Addr) {
	if !ownNetwork(t) {
		return
	}
	if _, err := os.Stat(sixConf); err != nil {
		t.Skip("SKIPPED: this kernel has no IPv6")
	}
	none, _ := newNamespace(t)
	if a := userNetwork(t, driver, none); a.Address6.IsValid() {
		t.Errorf("%v, and the host has no way out", a.Address6)
	}
	outside, _, _ := outsideOf(t)
	go sayAddress(listenIn(t, outside, ":7000"))
	go sayAddress(listenIn(t, here(t), "[::1]:7001"))
	ns, _ := newNamespace(t)
	a := userNetwork(t, driver, ns)
	if a.Address6 != address || a.Gateway6 != gateway || !a.reaches6 {
		t.Errorf("%+v", a)
	}
	if got, err := whoAmI(ns, "["+theirsSix.String()+"]:7000"); err != nil || got != oursSix.String() {
		t.Errorf("outside sees %q, %v", got, err)
	}
	if got, err := whoAmI(ns, "["+theirsSix.String()+"]:7999"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port that nobody listens on answers %q, %v", got, err)
	}
	for _, address := range []string{"[" + gateway.String() + "]:7001", "[::ffff:127.0.0.1]:7001"} { // refused or unreachable
		if got, err := whoAmI(ns, address); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s answers %q, %v", address, got, err)
		}
	}
	go sayAddress(listenIn(t, ns, ":80"))
	six := netip.IPv6Loopback()
	l := mustListen(t, Port{Protocol: "tcp", Container: 80, HostIP: six})
	at := netip.AddrPortFrom(six, l.Bound[0].Host).String()
	a.Publish(l)
	if got, err := whoAmI(here(t), at); err != nil || got != userAddress.Addr().String() {
		t.Errorf("the port published at %s says %q, %v", at, got, err)
	}
}

// here is the test's own network namespace.
func here(t *testing.T) *os.File {
	t.Helper()
	ns, err := os.Open("/proc/self/ns/net")
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	return ns
}
