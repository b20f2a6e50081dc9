package remote

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// A host is a server, HOST[:PORT], with what all requests to it share.
type host struct {
	name     string // as in names: "docker.io"
	addr     string // as in URLs: "registry-1.docker.io"
	insecure bool
	http     *http.Client
	answered atomic.Bool // it has, in this process

	mu     sync.Mutex // protects scheme
	scheme string     // "" until it is known
}

// hubHost is where the registry of docker.io is.
const hubHost = "registry-1.docker.io"

func newHost(name, certDir string, insecure bool) (*host, error) {
	addr := name
	if name == "docker.io" || name == "index.docker.io" {
		addr = hubHost
	}
	config, err := tlsConfig(name, certDir, insecure)
	if err != nil {
		return nil, err
	}
	return &host{name: name, addr: addr, insecure: insecure, http: &http.Client{Transport: newTransport(config)}}, nil
}

// loopback tells whether the host is this machine, by its name alone.
func (h *host) loopback() bool {
	name := h.addr
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}

// base is the beginning of the host's URLs. Where plain HTTP is allowed, a
// request finds out once whether it is needed: whatever isn't TLS is HTTP.
func (h *host) base(ctx context.Context) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.scheme == "" && !h.insecure && !h.loopback() {
		h.scheme = "https"
	}
	if h.scheme != "" {
		return h.scheme + "://" + h.addr, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+h.addr+"/v2/", nil)
	if err != nil {
		return "", err
	}
	resp, err := h.http.Do(req)
	switch {
	case err == nil:
		resp.Body.Close()
		h.answered.Store(true)
		h.scheme = "https"
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case isCertError(err):
		h.scheme = "https"
	default:
		h.scheme = "http"
	}
	return h.scheme + "://" + h.addr, nil
}
