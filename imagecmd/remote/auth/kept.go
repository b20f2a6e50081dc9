package auth

import (
	"context"
)

// An authorization is a header that is being made, by one for all who need it.
type authorization struct {
	done   chan struct{} // closed when it is
	header string
	err    error
	ended  bool // who made it was told to stop, which is nobody else's error
}

// last is the header that was made last; "" is none.
func (c *Client) last(k key) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[k]
}

// authorize is a header in place of refused, made is false for one that another request
// had made meanwhile.
func (c *Client) authorize(ctx context.Context, k key, refused string, do func(context.Context) (string, error)) (header string, made bool, err error) {
	for {
		c.mu.Lock()
		if header := c.kept[k]; header != "" && header != refused {
			c.mu.Unlock()
			return header, false, nil
		}
		a := c.calls[k]
		if a == nil {
			return c.begin(ctx, k, do)
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return "", false, context.Cause(ctx)
		case <-a.done:
		}
		if !a.ended {
			return a.header, true, a.err
		}
	}
}

// begin makes a header. The caller has locked mu, which is unlocked meanwhile and after.
func (c *Client) begin(ctx context.Context, k key, do func(context.Context) (string, error)) (header string, made bool, err error) {
	a := &authorization{done: make(chan struct{})}
	if c.calls == nil {
		c.calls, c.kept = map[key]*authorization{}, map[key]string{}
	}
	c.calls[k] = a
	c.mu.Unlock()
	a.header, a.err = do(ctx)
	a.ended = a.err != nil && ctx.Err() != nil
	c.mu.Lock()
	delete(c.calls, k)
	if a.err == nil {
		c.kept[k] = a.header
	}
	c.mu.Unlock()
	close(a.done)
	return a.header, true, a.err
}
