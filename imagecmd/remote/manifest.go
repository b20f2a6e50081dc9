package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// accepted are the kinds of manifests that are understood, in one header each
// for registries that read only the first.
var accepted = []string{
	ocispec.MediaTypeImageIndex,
	ocispec.MediaTypeImageManifest,
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
}

// accept is the header that asks for manifests.
func accept() http.Header { return http.Header{"Accept": {strings.Join(accepted, ", ")}} }

const digestHeader = "Docker-Content-Digest"

// Head asks what a tag or digest is, which registries don't count as a pull. An
// answer without a digest is a descriptor without one.
func (r *Repository) Head(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	var d ocispec.Descriptor
	err := r.each(ctx, func(e *endpoint) error {
		return e.retry(ctx, func() error {
			resp, err := e.do(ctx, request{method: http.MethodHead, path: "/manifests/" + ref, header: accept(), want: []int{http.StatusOK}})
			if err != nil {
				return err
			}
			resp.Body.Close()
			d = descriptorOf(resp)
			return nil
		})
	})
	return d, err
}

func descriptorOf(resp *http.Response) ocispec.Descriptor {
	d := ocispec.Descriptor{Size: max(resp.ContentLength, 0)}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && isManifest(t) {
		d.MediaType = t // some say text/plain
	}
	if h := digest.Digest(resp.Header.Get(digestHeader)); h.Validate() == nil {
		d.Digest = h
	}
	return d
}

// Manifest fetches what a tag or digest is. Its descriptor has the digest of the
// bytes that came, which is the one that was asked for, or that the registry
// claims.
func (r *Repository) Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	var d ocispec.Descriptor
	var raw []byte
	err := r.each(ctx, func(e *endpoint) error {
		return e.retry(ctx, func() (err error) {
			d, raw, err = e.manifest(ctx, ref)
			return err
		})
	})
	return d, raw, err
}

func (e *endpoint) manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	resp, err := e.do(ctx, request{method: http.MethodGet, path: "/manifests/" + ref, header: accept(), want: []int{http.StatusOK}})
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	raw, err := readAll(resp)
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", ref, err)
	}
	d := descriptorOf(resp)
	want := d.Digest
	if asked := digest.Digest(ref); asked.Validate() == nil {
		want = asked
	}
	if want == "" {
		want = digest.FromBytes(raw)
	}
	if got := want.Algorithm().FromBytes(raw); got != want {
		return d, nil, fmt.Errorf("%w: manifest verification failed for digest %s: its bytes have %s", ErrInvalid, want, got)
	}
	d.Digest, d.Size = want, int64(len(raw))
	return d, raw, nil
}

// readAll reads a document and closes its body.
func readAll(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, store.MaxDocument+1))
	switch {
	case err != nil:
		return nil, broken(err)
	case len(raw) > store.MaxDocument:
		return nil, fmt.Errorf("%w: larger than %d MiB", ErrInvalid, store.MaxDocument>>20)
	case resp.ContentLength >= 0 && int64(len(raw)) != resp.ContentLength:
		return nil, io.ErrUnexpectedEOF
	}
	return raw, nil
}

// broken makes whatever ends a body before its time something to try again.
func broken(err error) error {
	if errors.Is(err, ErrStalled) || errors.Is(err, context.Canceled) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
}

// Document fetches a manifest or a config, verified; see [store.Source].
func (r *Repository) Document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%w: digest %.100q: %w", ErrInvalid, string(d.Digest), err)
	}
	if d.MediaType == "" || isManifest(d.MediaType) {
		_, raw, err := r.Manifest(ctx, string(d.Digest))
		if err == nil {
			return store.ReadDocument(bytes.NewReader(raw), d)
		}
		if d.MediaType != "" || !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if d.Size > store.MaxDocument {
		return nil, fmt.Errorf("blob %s: %w: larger than %d MiB", d.Digest, ErrInvalid, store.MaxDocument>>20)
	}
	var out []byte
	err := r.each(ctx, func(e *endpoint) error {
		return e.retry(ctx, func() error {
			resp, err := e.do(ctx, request{method: http.MethodGet, path: "/blobs/" + string(d.Digest), want: []int{http.StatusOK}})
			if err != nil {
				return err
			}
			raw, err := readAll(resp)
			if err != nil {
				return fmt.Errorf("blob %s: %w", d.Digest, err)
			}
			out, err = store.ReadDocument(bytes.NewReader(raw), d)
			return err
		})
	})
	return out, err
}

func isManifest(mediaType string) bool {
	for _, t := range accepted {
		if t == mediaType {
			return true
		}
	}
	return false
}

// Tags lists all tags, as the registry orders them.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	var tags []string
	err := r.each(ctx, func(e *endpoint) error {
		return e.retry(ctx, func() error {
			tags = nil
			return e.pages(ctx, "/tags/list", func(p page) error {
				tags = append(tags, p.Tags...)
				return nil
			})
		})
	})
	return tags, err
}

// Put stores a manifest under a tag, or under its digest.
func (r *Repository) Put(ctx context.Context, ref string, d ocispec.Descriptor, raw []byte) error {
	e := r.endpoints[0]
	return e.retry(ctx, func() error {
		resp, err := e.do(ctx, request{
			method: http.MethodPut, path: "/manifests/" + ref,
			header: http.Header{"Content-Type": {d.MediaType}},
			body:   func() io.Reader { return bytes.NewReader(raw) }, length: int64(len(raw)),
			want: []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
		})
		if err != nil {
			return err
		}
		resp.Body.Close()
		if got := descriptorOf(resp).Digest; got != "" && got != d.Digest {
			return fmt.Errorf("%w: manifest %s was stored as %s", ErrInvalid, d.Digest, got)
		}
		return nil
	})
}
