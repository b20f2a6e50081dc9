package remote

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
	"github.com/cfs-project/cfs/imagecmd/remote/authfile"
	"github.com/cfs-project/cfs/imagecmd/remote/registries"
	"github.com/cfs-project/cfs/internal/reference"
)

// Options says how registries are reached. The zero value is this user's, on
// this host.
type Options struct {
	// TLSVerify overrides what registries.conf says: false lets certificates be
	// unknown, and HTTP be plain.
	TLSVerify *bool
	// CertDir holds certificates for whatever host is asked, in place of certs.d.
	CertDir string
	// UserAgent is what the program calls itself.
	UserAgent string
	// Log is told of what is tried again; nil is nobody.
	Log *slog.Logger
	// Backoff is how often and when; zero is what suits registries.
	Backoff Backoff
}

// Backoff says how what failed is tried again: after First, then after twice
// as long, and so on, but never more than Max; Tries times in a row.
type Backoff struct {
	First, Max time.Duration
	Tries      int
}

// A Client knows how registries are to be reached, and by whom. Its methods may
// be called from any number of goroutines.
type Client struct {
	o     Options
	conf  *registries.Config
	creds *authfile.Files
	chunk int64 // of uploads, in bytes

	mu    sync.Mutex // protects hosts
	hosts map[hostKey]*host
}

type hostKey struct {
	name     string
	insecure bool
}

// New reads registries.conf and finds the credentials.
func New(o Options) (*Client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Backoff == (Backoff{}) {
		o.Backoff = Backoff{First: 250 * time.Millisecond, Max: 10 * time.Second, Tries: 7}
	}
	paths, err := registries.Paths()
	if err != nil {
		return nil, err
	}
	conf, err := registries.Load(paths...)
	if err != nil {
		return nil, err
	}
	creds, err := authfile.Find()
	if err != nil {
		return nil, err
	}
	return &Client{o: o, conf: conf, creds: creds, chunk: defaultChunk, hosts: map[hostKey]*host{}}, nil
}

// Registries is what registries.conf says.
func (c *Client) Registries() *registries.Config { return c.conf }

// Credentials is where they are kept.
func (c *Client) Credentials() *authfile.Files { return c.creds }

func (c *Client) host(name string, insecure bool) (*host, error) {
	if c.o.TLSVerify != nil {
		insecure = !*c.o.TLSVerify
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := hostKey{name, insecure}
	if h := c.hosts[key]; h != nil {
		return h, nil
	}
	h, err := newHost(name, c.o.CertDir, insecure)
	if err == nil {
		c.hosts[key] = h
	}
	return h, err
}

// An endpoint is a repository on a host; the repository "" is the registry itself.
type endpoint struct {
	c          *Client
	h          *host
	repository string
	scopes     []string // what its tokens are for
	auth       *auth.Client
}

func (c *Client) endpoint(p registries.Place, actions string) (*endpoint, error) {
	h, err := c.host(p.Host, p.Insecure)
	if err != nil {
		return nil, err
	}
	e := &endpoint{c: c, h: h, repository: p.Repository}
	if p.Repository != "" {
		e.scopes = []string{auth.ScopeRepository(p.Repository, actions)}
	}
	e.auth = e.newAuth(func(ctx context.Context) (auth.Credential, error) {
		return c.creds.Get(ctx, h.name, p.Repository)
	})
	return e, nil
}

func (e *endpoint) newAuth(credential func(context.Context) (auth.Credential, error)) *auth.Client {
	return &auth.Client{
		HTTP: e.h.http, UserAgent: e.c.o.UserAgent, ID: "cfs", Credential: credential, Refused: noToken,
		AnyRealm: e.h.loopback(), // its token server is, too
	}
}

// A Repository is where images of one name are, on one host or several.
type Repository struct {
	c    *Client
	name reference.Named

	mu        sync.Mutex  // protects the order
	endpoints []*endpoint // the one to ask first, first
}

// Pull is the repository to pull named from; byDigest matters to mirrors.
func (c *Client) Pull(named reference.Named, byDigest bool) (*Repository, error) {
	return c.repository(named, byDigest, auth.ActionPull, false)
}

// Push is the repository to push named to, which is never a mirror.
func (c *Client) Push(named reference.Named) (*Repository, error) {
	return c.repository(named, false, auth.ActionPull+","+auth.ActionPush, true)
}

func (c *Client) repository(named reference.Named, byDigest bool, actions string, last bool) (*Repository, error) {
	places, err := c.conf.Places(named, byDigest)
	if err != nil {
		return nil, err
	}
	if last {
		places = places[len(places)-1:]
	}
	r := &Repository{c: c, name: reference.TrimNamed(named)}
	for _, p := range places {
		e, err := c.endpoint(p, actions)
		if err != nil {
			return nil, err
		}
		r.endpoints = append(r.endpoints, e)
	}
	return r, nil
}

// each asks one endpoint after the other until one has it, which is asked first
// from then on. The error is that of the last, the registry itself.
func (r *Repository) each(ctx context.Context, fn func(e *endpoint) error) error {
	r.mu.Lock()
	list := append([]*endpoint(nil), r.endpoints...)
	r.mu.Unlock()
	var err error
	for i, e := range list {
		if err = fn(e); err == nil {
			r.prefer(e)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if i < len(list)-1 {
			r.c.o.Log.Info("asking the next place", "of", r.name.Name(), "host", e.h.name, "error", err)
		}
	}
	return err
}

func (r *Repository) prefer(e *endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, o := range r.endpoints {
		if o == e && i > 0 {
			copy(r.endpoints[1:i+1], r.endpoints[:i])
			r.endpoints[0] = e
		}
	}
}
