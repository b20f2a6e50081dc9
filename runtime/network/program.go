package network

import (
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

// attachPasta has pasta(1) serve the namespace. It copies no address of the host's into
// it, and lets nothing through to the host's loopback interface.
func attachPasta(ctx context.Context, o Options, _ *Attachment) (func() error, error) {
	path, err := exec.LookPath("pasta")
	if err != nil {
		return nil, errNotInstalled
	}
	short, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	said, err := exec.CommandContext(short, path, "--version").Output()
	if first, _, _ := strings.Cut(string(said), "\n"); err != nil || pastaTooOld(first) {
		return nil, fmt.Errorf("%w: %s is older than %s", errNotInstalled, first, pastaSince)
	}
	return serve(ctx, o, "pasta", containerLink,
		"--foreground", "--quiet", "--config-net", "--ipv4-only", "--ns-ifname", containerLink,
		"--address", userAddress.Addr().String(), "--netmask", fmt.Sprint(userAddress.Bits()), "--gateway", userGateway.String(),
		"--dns-forward", userNameserver.String(), "--no-map-gw",
		"--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
		"--netns", o.Namespace.Name())
}

// attachSlirp has slirp4netns(1) serve the namespace.
func attachSlirp(ctx context.Context, o Options, _ *Attachment) (func() error, error) {
	return serve(ctx, o, "slirp4netns", containerLink,
		"--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox",
		"--netns-type=path", o.Namespace.Name(), containerLink)
}

// serve starts a program that serves the namespace, and returns once the interface
// is there and has a route, or the program has ended.
func serve(ctx context.Context, o Options, name, link string, args ...string) (end func() error, err error) {
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
	if err := awaitLink(ctx, o.Namespace, link, ended); err != nil {
		_ = end()
		if text := strings.TrimSpace(string(said)); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return nil, err
	}
	return end, nil
}

// awaitLink waits until there is a default route by an interface that is up.
func awaitLink(ctx context.Context, ns *os.File, name string, ended <-chan struct{}) error {
	h, err := handleIn(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	timeout := time.After(programTimeout)
	for {
		routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
		if err == nil && len(routes) > 0 {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended at once")
		case <-timeout:
			return fmt.Errorf("no route by %s after %v", name, programTimeout)
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
