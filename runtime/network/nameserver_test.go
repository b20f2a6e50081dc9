package network

import "testing"

func TestResolvConf(t *testing.T) {
	for _, tc := range []struct {
		name string
		a    Attachment
		host string
		want string
	}{
		{"as it is", Attachment{}, "search x\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:2\n", "search x\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:2\n"},
		{"loopback", Attachment{}, "nameserver 127.0.0.53\nnameserver 192.0.2.1\n", "nameserver 192.0.2.1\n"},
		{"none left", Attachment{}, "# who\nnameserver 127.0.0.1\nnameserver ::1\n", "# who\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
		{"nothing", Attachment{}, "", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
		{"nonsense", Attachment{}, "nameserver\nnameserver x\nnameserver 0.0.0.0\n", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
		{"the network's", Attachment{Nameserver: userNameserver}, "nameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\n", "nameserver 10.0.2.3\nnameserver 192.0.2.1\n"},
		{"the network's alone", Attachment{Nameserver: userNameserver, onlyNameserver: true}, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n", "nameserver 10.0.2.3\n"},
	} {
		if got := tc.a.ResolvConf(tc.host); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestPastaTooOld(t *testing.T) {
	for version, want := range map[string]bool{
		"pasta unknown version":                   true, // Debian 12's
		"pasta 0.0~git20230309.7c7625d-1":         true,
		"pasta 0.0~git20240220.1e6f92b-1":         false,
		"pasta 2025_01_21.4f2c8e7":                false,
		"pasta 0^20240326.g4988e2b-1.fc40":        false,
		"pasta 0.0~git20250503.587980c-2":         false,
		"":                                        true,
		"pasta 2023_12_30.f091893":                true,
		"Copyright 2020-2025, nothing with a day": true,
	} {
		if got := pastaTooOld(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

func TestAllowed(t *testing.T) {
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "8.8.8.8": true, "10.1.2.3": true, "169.254.1.1": true,
		"127.0.0.1": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false,
		"10.0.2.2": false, "10.0.2.77": false, "10.0.2.3": false,
	} {
		if _, ok := allowed(mustAddr(addr), 80); ok != want {
			t.Errorf("%s: %v", addr, ok)
		}
	}
}
