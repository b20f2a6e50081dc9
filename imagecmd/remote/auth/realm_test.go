package auth

import (
	"context"
	"net/netip"
	"net/url"
	"testing"
)

func address(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestRealm(t *testing.T) {
	for _, tc := range []struct {
		realm, registry string
		any, ok         bool
	}{
		{"https://93.184.216.34/token", "https://r.example", false, true},
		{"http://93.184.216.34/token", "http://r.example", false, true},
		{"http://93.184.216.34/token", "https://r.example", false, false}, // the password would be seen
		{"http://r.example/token", "https://r.example", true, false},
		{"ftp://93.184.216.34/", "https://r.example", false, false},
		{"file:///etc/passwd", "https://r.example", true, false},
		{"", "https://r.example", false, false},
		{"https://127.0.0.1/token", "https://r.example", false, false},
		{"https://127.0.0.1/token", "https://r.example", true, true},
		{"https://127.0.0.1:5001/token", "https://127.0.0.1:5000", false, true},
		{"https://localhost/token", "https://r.example", false, false}, // it is looked up
		{"https://[::1]/token", "https://r.example", false, false},
		{"https://169.254.169.254/latest", "https://r.example", false, false},
		{"https://[fe80::1%25eth0]/", "https://r.example", false, false},
		{"https://10.0.0.1/token", "https://r.example", false, true}, // a registry in a company's own network
		{"https://no-such-host.invalid/token", "https://r.example", false, true},
	} {
		c := &Client{AnyRealm: tc.any}
		if err := c.checkRealm(context.Background(), address(t, tc.realm), address(t, tc.registry)); (err == nil) != tc.ok {
			t.Errorf("%s of %s: %v", tc.realm, tc.registry, err)
		}
	}
}

func TestGuarded(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.1.2.3": true, "0.0.0.0": true, "::": true, "::ffff:127.0.0.1": true, "64:ff9b::7f00:1": true, "2002:7f00:1::": true,
		"64:ff9b::a9fe:a9fe": true, "fd00:ec2::254": true, "168.63.129.16": true, "224.0.0.1": true, "ff02::1": true,
		"8.8.8.8": false, "192.168.0.1": false, "64:ff9b::808:808": false, "2002:808:808::": false, "2606:4700::1": false,
	} {
		if got := isGuarded(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
	for _, s := range guarded {
		if p := netip.MustParsePrefix(s); p != p.Masked() || !isGuarded(p.Addr()) {
			t.Errorf("%s does not guard itself", s)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"https://R.example/a", "https://r.example:443/b", true},
		{"http://r.example", "http://r.example:80", true},
		{"http://r.example", "https://r.example", false},
		{"http://r.example:443", "https://r.example", false},
		{"https://r.example", "https://r.example:5000", false},
		{"https://r.example", "https://s.example", false},
	} {
		if got := SameOrigin(address(t, tc.a), address(t, tc.b)); got != tc.want {
			t.Errorf("%s and %s: %t", tc.a, tc.b, got)
		}
	}
}
