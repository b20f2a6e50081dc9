// Package testregistry starts registries for tests: Debian's docker-registry on a
// free port of the loopback network, with users, with TLS, killed and started
// again at the same port; and a proxy before it that is slow, breaks connections
// and counts what it served.
//
//	test ──► Proxy ──► Registry ──► docker-registry, its data in a directory
package testregistry
