package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/cfs-project/cfs/internal/hint"
)

// DriverEnv names the environment variable that chooses what serves user-mode networks:
// one of the names below. Unset, it is the first that works.
const DriverEnv = "CFS_USER_NETWORK"

// The addresses of user-mode networks, those that slirp4netns(1) has.
var (
	userAddress    = netip.MustParsePrefix("10.0.2.100/24")
	userGateway    = netip.MustParseAddr("10.0.2.2")
	userNameserver = netip.MustParseAddr("10.0.2.3")

	// Those of IPv6, where a network has it: unique local ones (RFC 4193).
	userAddress6 = netip.MustParsePrefix("fd63:6673:6e65:7473::100/64")
	userGateway6 = netip.MustParseAddr("fd63:6673:6e65:7473::2")

	// Those that slirp4netns(1) has, which can't be told others.
	slirpAddress6 = netip.MustParsePrefix("fd00::100/64")
	slirpGateway6 = netip.MustParseAddr("fd00::2")
)

// A userDriver serves one container's network. It fails with errNotInstalled where it
// is a program that isn't there.
type userDriver struct {
	name string
	// onlyForwards tells that the host's first name server answers at the network's own
	// address alone.
	onlyForwards bool
	// address6 and gateway6 are those of IPv6, which it passes on.
	address6 netip.Prefix
	gateway6 netip.Addr
	attach   func(ctx context.Context, o Options, a *Attachment) (end func() error, err error)
}

var errNotInstalled = errors.New("no usable program is installed")

// userDrivers are in the order they are tried. What is built in is last: the programs
// have seen more networks, and forward pings.
var userDrivers = []userDriver{
	{name: "pasta", onlyForwards: true, address6: userAddress6, gateway6: userGateway6, attach: attachPasta},
	{name: "slirp4netns", address6: slirpAddress6, gateway6: slirpGateway6, attach: attachSlirp},
	{name: "netstack", address6: userAddress6, gateway6: userGateway6, attach: attachNetstack},
}

// User connects a namespace with the outside without any privilege on the host but that
// over the namespace: pasta, slirp4netns or what is built in turns its packets into
// sockets of an ordinary process. All need /dev/net/tun; where it can't be opened the
// error wraps [ErrUnavailable] and hints at that.
func User(ctx context.Context, o Options) (*Attachment, error) {
	if err := checkTun(); err != nil {
		return nil, err
	}
	chosen := os.Getenv(DriverEnv)
	var errs []error
	for _, d := range userDrivers {
		if chosen != "" && chosen != d.name {
			continue
		}
		a := &Attachment{
			Driver: d.name, Address: userAddress, Gateway: userGateway, Nameserver: userNameserver,
			onlyNameserver: d.onlyForwards, ns: o.Namespace,
		}
		if len(sixRoutes()) > 0 {
			a.Address6, a.Gateway6, a.reaches6 = d.address6, d.gateway6, true
		}
		end, err := d.attach(ctx, o, a)
		if err == nil {
			a.ends = []func() error{end}
			return a, nil
		}
		if !errors.Is(err, errNotInstalled) || chosen != "" {
			o.log().Warn("user-mode network", "driver", d.name, "error", err)
			errs = append(errs, fmt.Errorf("%s: %w", d.name, err))
		}
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("%w: %s=%s names no user-mode network: there are pasta, slirp4netns and netstack", ErrUnavailable, DriverEnv, chosen)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(errs...))
}

// tunDevice is where packets of a user-mode network come from.
const tunDevice = "/dev/net/tun"

// checkTun tells why there can be no user-mode network.
func checkTun() error {
	f, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err == nil {
		return f.Close()
	}
	what := "as root: modprobe tun"
	if errors.Is(err, os.ErrPermission) {
		what = "as root: chmod 666 " + tunDevice
	}
	return hint.With(fmt.Errorf("%w: a user-mode network needs %s: %w", ErrUnavailable, tunDevice, errors.Unwrap(err)), what)
}
