package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

// A Result is one repository that a search found, as Docker Hub describes it.
type Result struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Stars       int    `json:"star_count"`
	Official    bool   `json:"is_official"`
	Automated   bool   `json:"is_automated"`
}

// searchHost is where Docker Hub is searched.
const searchHost = "index.docker.io"

// Search finds repositories by a term, at most limit of them. A registry that has
// no search, as most have none, is asked for its catalog, of which those names
// count that the term is a part of.
func (c *Client) Search(ctx context.Context, registry, term string, limit int) ([]Result, error) {
	place, err := c.conf.Host(registry)
	if err != nil {
		return nil, err
	}
	e, err := c.endpoint(place, "")
	if err != nil {
		return nil, err
	}
	hub := e.h.addr == hubHost
	if hub {
		e.h, err = newHost(registry, c.o.CertDir, e.h.insecure)
		if err != nil {
			return nil, err
		}
		e.h.addr = searchHost
	}
	if term != "" || hub {
		list, err := e.searchV1(ctx, term, limit)
		var answer *Error
		if hub || err == nil || !errors.As(err, &answer) || answer.Status == http.StatusTooManyRequests {
			return list, err
		}
	}
	return e.searchCatalog(ctx, term, limit)
}

// searchV1 is the search of the registry API version 1, which Docker Hub has.
func (e *endpoint) searchV1(ctx context.Context, term string, limit int) ([]Result, error) {
	base, err := e.h.base(ctx)
	if err != nil {
		return nil, err
	}
	// A registry's own names lack the "library/" of Docker Hub's.
	query := "q=" + url.QueryEscape(strings.TrimPrefix(term, "library/")) + "&n=" + strconv.Itoa(limit)
	var answer struct {
		Results []Result `json:"results"`
	}
	err = e.retry(ctx, func() error {
		resp, err := e.do(ctx, request{method: http.MethodGet, path: base + "/v1/search?" + query, want: []int{http.StatusOK}})
		if err != nil {
			return err
		}
		raw, err := readAll(resp)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return fmt.Errorf("%w: search: %w", ErrInvalid, err)
		}
		return nil
	})
	return answer.Results[:min(len(answer.Results), limit)], err
}

// errEnough ends a list before its end.
var errEnough = errors.New("enough")

func (e *endpoint) searchCatalog(ctx context.Context, term string, limit int) ([]Result, error) {
	e.scopes = []string{auth.ScopeCatalog}
	var out []Result
	err := e.retry(ctx, func() error {
		out = nil
		err := e.pages(ctx, "_catalog", func(p page) error {
			for _, name := range p.Repositories {
				if strings.Contains(name, term) {
					out = append(out, Result{Name: name})
				}
				if len(out) == limit {
					return errEnough
				}
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
	return out, err
}
