package testregistry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// A Proxy is a bad network before a registry.
type Proxy struct {
	Addr   string // 127.0.0.1:PORT
	target string
	server *httptest.Server

	mu       sync.Mutex // protects the rest
	cut      int64
	pause    time.Duration
	served   int64
	received int64
	requests map[string]int
	hold     chan struct{} // nil: nothing is held
	holdAt   int64
	reached  chan struct{} // nil: holdAt was reached, or there is none
}

// NewProxy starts a proxy before the registry at addr. The caller closes it.
func NewProxy(addr string) *Proxy {
	p := &Proxy{target: addr, requests: map[string]int{}}
	p.server = httptest.NewServer(p)
	p.Addr = p.server.Listener.Addr().String()
	return p
}

// Close ends it, and all its connections.
func (p *Proxy) Close() {
	p.Release()
	p.server.CloseClientConnections()
	p.server.Close()
}

// Cut breaks every connection after so many bytes of a blob, in either
// direction; 0: never.
func (p *Proxy) Cut(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = n
}

// Slow waits after every 32 KiB of a blob.
func (p *Proxy) Slow(pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = pause
}

// HoldAt stops serving blobs after so many bytes of them in all, until Release.
// What it returns is closed when it has come to that.
func (p *Proxy) HoldAt(n int64) (reached <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holdAt, p.hold, p.reached = n, make(chan struct{}), make(chan struct{})
	return p.reached
}

// Release goes on after HoldAt.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold != nil {
		close(p.hold)
		p.hold, p.holdAt = nil, 0
	}
}

// Served is how many bytes of blobs were sent to clients.
func (p *Proxy) Served() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served
}

// Received is how many bytes of blobs came from clients.
func (p *Proxy) Received() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.received
}

// Requests is how many there were of a method; "" counts all.
func (p *Proxy) Requests(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if method != "" {
		return p.requests[method]
	}
	n := 0
	for _, m := range p.requests {
		n += m
	}
	return n
}

// Forget sets the counts to zero.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served, p.received, p.requests = 0, 0, map[string]int{}
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	p.mu.Lock()
	p.requests[in.Method]++
	p.mu.Unlock()
	out := in.Clone(in.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.target, ""
	blobs := strings.Contains(in.URL.Path, "/blobs/")
	if blobs && in.ContentLength > 0 {
		out.Body = io.NopCloser(&bad{p: p, r: in.Body, counts: &p.received})
	}
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	var body io.Reader = resp.Body
	if blobs {
		body = &bad{p: p, r: resp.Body, counts: &p.served}
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, body, make([]byte, 32<<10)); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// bad is a body that comes as the proxy wants it.
type bad struct {
	p      *Proxy
	r      io.Reader
	n      int64
	counts *int64
}

func (b *bad) Read(to []byte) (int, error) {
	p := b.p
	p.mu.Lock()
	hold, pause, cut := p.hold, p.pause, p.cut
	if hold != nil && (b.counts != &p.served || p.served < p.holdAt) {
		hold = nil
	}
	p.mu.Unlock()
	if hold != nil {
		<-hold
	}
	time.Sleep(pause)
	if cut > 0 {
		if b.n >= cut {
			return 0, io.ErrUnexpectedEOF
		}
		to = to[:min(int64(len(to)), cut-b.n)]
	}
	n, err := b.r.Read(to)
	b.n += int64(n)
	p.mu.Lock()
	*b.counts += int64(n)
	if p.reached != nil && p.served >= p.holdAt {
		close(p.reached)
		p.reached = nil
	}
	p.mu.Unlock()
	return n, err
}
