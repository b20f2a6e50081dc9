package imagecmd

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/runtime/network"
)

func TestParseNetwork(t *testing.T) {
	for s, want := range map[string]string{
		"": NetworkDefault, "default": NetworkDefault, "bridge": NetworkBridge, "none": "none", "host": "host", "container:x": "container:x",
	} {
		if got, err := ParseNetwork(s); err != nil || got != want {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{"mine": "network mine not found", "container:": "invalid container format container:<name|id>"} {
		if got, err := ParseNetwork(s); err == nil || err.Error() != want {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

func TestExposedPorts(t *testing.T) {
	image := map[string]struct{}{"80/tcp": {}, "53/udp": {}, "9": {}, "132/sctp": {}, "what": {}, "90-91/tcp": {}}
	got := exposedPorts(image, []string{"100/tcp", "80/tcp"})
	want := []string{"9/tcp", "53/udp", "80/tcp", "90/tcp", "91/tcp", "100/tcp"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDescribePorts(t *testing.T) {
	four, six := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	b := func(ip netip.Addr, host, container uint16, proto string) network.Bound {
		return network.Bound{Protocol: proto, Container: container, HostIP: ip, Host: host}
	}
	for _, tc := range []struct {
		bound   []network.Bound
		exposed []string
		want    string
	}{
		{nil, nil, ""},
		{nil, []string{"80/tcp"}, "80/tcp"},
		{nil, []string{"80/tcp", "81/tcp", "83/tcp", "84/udp"}, "80-81/tcp, 83/tcp, 84/udp"},
		{[]network.Bound{b(four, 8080, 80, "tcp"), b(six, 8080, 80, "tcp")}, []string{"80/tcp", "81/tcp"}, "81/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"},
		{[]network.Bound{b(four, 90, 90, "tcp"), b(six, 90, 90, "tcp"), b(four, 91, 91, "tcp"), b(six, 91, 91, "tcp")}, nil, "0.0.0.0:90-91->90-91/tcp, [::]:90-91->90-91/tcp"},
		{[]network.Bound{b(four, 90, 90, "tcp"), b(four, 92, 91, "tcp")}, nil, "0.0.0.0:90->90/tcp, 0.0.0.0:92->91/tcp"},
		{[]network.Bound{b(four, 90, 90, "tcp"), b(four, 91, 91, "udp")}, nil, "0.0.0.0:90->90/tcp, 0.0.0.0:91->91/udp"},
	} {
		if got := describePorts(tc.bound, tc.exposed); got != tc.want {
			t.Errorf("%v %v: %q, want %q", tc.bound, tc.exposed, got, tc.want)
		}
	}
}

// FuzzParsePublish: what is accepted says ports that exist, and is what it would be
// written as again.
func FuzzParsePublish(f *testing.F) {
	for _, s := range []string{"80", "8080:80", "127.0.0.1:8080:80/udp", "[::1]::80", "8000-8010:80", "8000-8001:90-91/tcp", "published=1,target=2,protocol=udp", "::1:1:2", "a=b", "0:0", "65536:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := ParsePublish([]string{s})
		if err != nil {
			return
		}
		if len(ports) == 0 {
			t.Fatalf("%q: nothing", s)
		}
		var again []string
		for _, p := range ports {
			if n := p.Port.Int(); n < 1 || n > 65535 || !slices.Contains([]string{"tcp", "udp"}, p.Port.Proto()) {
				t.Fatalf("%q: port %s", s, p.Port)
			}
			for n := range strings.SplitSeq(p.Binding.HostPort, "-") {
				if v, err := strconv.Atoi(n); n != "" && (err != nil || v < 0 || v > 65535) {
					t.Fatalf("%q: host port %q", s, p.Binding.HostPort)
				}
			}
			ip := p.Binding.HostIP
			if strings.Contains(ip, ":") {
				ip = "[" + ip + "]"
			}
			again = append(again, ip+":"+p.Binding.HostPort+":"+string(p.Port))
		}
		twice, err := ParsePublish(again)
		if err != nil || !slices.Equal(ports, twice) {
			t.Fatalf("%q is %v, and %q %v, %v", s, ports, again, twice, err)
		}
		c := Container{Options: ContainerOptions{Publish: ports}}
		for _, w := range c.wantedPorts() {
			if w.Container == 0 || w.Last < w.First {
				t.Fatalf("%q: wants %+v", s, w)
			}
		}
	})
}
