package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/cfs-project/cfs/internal/deathsig"
)

// programTimeout bounds how long a program may take until the network is there.
const programTimeout = 15 * time.Second

// pastaSince is the date of the oldest pasta that is used. That of Debian 12 (2023-03-09)
// delivers the last bytes of a connection again and again, and loses its end.
const pastaSince = "20240220"

// pastaDate finds the date in what `pasta --version` says: its versions are called
// 2024_02_20.1e6f92b, and distributions' 0.0~git20230309.7c7625d-1 or 0^20240220.g1e6f92b-1.
var pastaDate = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(20\d\d)_?([01]\d)_?([0-3]\d)`) })

// pastaTooOld tells whether a version is older than those that are used, or unknown.
func pastaTooOld(version string) bool {
	date := pastaDate().FindStringSubmatch(version)
	return date == nil || strings.Join(date[1:], "") < pastaSince
}

// errTooOld is an errNotInstalled.
var errTooOld = fmt.Errorf("%w: older than %s", errNotInstalled, pastaSince)

// usablePasta tells why pasta can't be used.
func usablePasta(ctx context.Context) error {
	path, err := exec.LookPath("pasta")
	if err != nil {
		return errNotInstalled
	}
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	said, err := exec.CommandContext(ctx, path, "--version").Output()
	// That of Debian 13 (2025-05-03) ends before it has said it, unless to a terminal.
	if first, _, _ := strings.Cut(string(said), "\n"); err != nil || first != "" && pastaTooOld(first) {
		return fmt.Errorf("%w: %s", errTooOld, cmp.Or(first, path))
	}
	return nil
}

// attachPasta has pasta(1) serve the namespace. It copies no address of the host's into
// it, and lets nothing through to the host's loopback interface.
func attachPasta(ctx context.Context, o Options, a *Attachment) (func() error, error) {
	if err := usablePasta(ctx); err != nil {
		return nil, err
	}
	args := []string{
		"--foreground", "--quiet", "--config-net", "--ns-ifname", containerLink,
		"--address", userAddress.Addr().String(), "--netmask", fmt.Sprint(userAddress.Bits()), "--gateway", userGateway.String(),
		"--dns-forward", userNameserver.String(), "--no-map-gw",
		"--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
	}
	if a.Address6.IsValid() && ownSix(o.Namespace) == nil {
		args = append(args, "--address", userAddress6.Addr().String(), "--gateway", userGateway6.String())
	} else {
		args = append(args, "--ipv4-only")
		a.noSix()
	}
	return serve(ctx, o, "pasta", a.Address6.IsValid(), append(args, "--netns", o.Namespace.Name())...)
}

// attachSlirp has slirp4netns(1) serve the namespace. It gives the interface an address of
// IPv4 alone, that of IPv6 is ours to give.
func attachSlirp(ctx context.Context, o Options, a *Attachment) (func() error, error) {
	args := []string{"--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--netns-type=path"}
	if a.Address6.IsValid() && ownSix(o.Namespace) == nil {
		args = append(args, "--enable-ipv6")
	} else {
		a.noSix()
	}
	end, err := serve(ctx, o, "slirp4netns", false, append(args, o.Namespace.Name(), containerLink)...)
	if err != nil {
		return nil, err
	}
	if err := a.addSix(); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// ownSix has interfaces that come get no other address of IPv6 than they are given, though
// the program announces itself as a router. It fails where the namespace has no IPv6.
func ownSix(ns *os.File) error {
	return inside(ns, func() error {
		if b, err := os.ReadFile(sixConf + "default/disable_ipv6"); err != nil || strings.TrimSpace(string(b)) != "0" {
			return errors.Join(errors.New("IPv6 is disabled"), err)
		}
		return os.WriteFile(sixConf+"default/accept_ra", []byte("0\n"), 0)
	})
}

// serve starts a program that serves the namespace, and returns once the interface
// is there and has a route, with six of IPv6 as well, or the program has ended.
func serve(ctx context.Context, o Options, name string, six bool, args ...string) (end func() error, err error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, errNotInstalled
	}
	var said beginning
	cmd := exec.Command(path, args...)
	cmd.Stderr, cmd.Stdout = &said, &said
	cmd.WaitDelay = time.Second // what it has started may hold them
	if err := deathsig.Start(cmd); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	end = func() error {
		_ = cmd.Process.Kill()
		<-ended
		return nil
	}
	if err := awaitRoutes(ctx, o.Namespace, six, ended); err != nil {
		_ = end()
		if text := strings.TrimSpace(string(said)); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return nil, err
	}
	return end, nil
}

// awaitRoutes waits until there is a default route by an interface that is up, and of IPv6.
func awaitRoutes(ctx context.Context, ns *os.File, six bool, ended <-chan struct{}) error {
	h, err := handleIn(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	has := func(family int) bool {
		routes, err := h.RouteListFiltered(family, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
		return err == nil && len(routes) > 0
	}
	timeout := time.After(programTimeout)
	for {
		if has(netlink.FAMILY_V4) && (!six || has(netlink.FAMILY_V6)) {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended at once")
		case <-timeout:
			return fmt.Errorf("no route by %s after %v", containerLink, programTimeout)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(500 * time.Microsecond):
		}
	}
}

// A beginning is the first 4 KiB of what is written to it: why a program has failed.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), 4<<10-len(*b))]...)
	return len(p), nil
}
