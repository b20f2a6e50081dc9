package imagecmd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/remote/registries"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/reference"
)

// RegistryOptions say how commands reach registries. The zero value is this
// user's, on this host.
type RegistryOptions struct {
	// TLSVerify false lets certificates be unknown and HTTP be plain, true
	// neither; nil is what registries.conf says.
	TLSVerify *bool
	// CertDir is where certificates are, instead of certs.d/HOST.
	CertDir string
	// Version is the program's, for the registry's logs.
	Version string
	Log     *slog.Logger
	// Talk is where a person is told what happens beside what was asked for.
	Talk io.Writer
}

func (o RegistryOptions) client() (*remote.Client, error) {
	return remote.New(remote.Options{TLSVerify: o.TLSVerify, CertDir: o.CertDir, UserAgent: "cfs/" + o.Version, Log: o.Log})
}

func (o RegistryOptions) say(format string, args ...any) {
	if o.Talk != nil {
		fmt.Fprintf(o.Talk, format+"\n", args...)
	}
}

// candidates are what a name may mean: itself, unless it is a short one that
// registries.conf knows.
func candidates(client *remote.Client, name string) ([]registries.Candidate, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	list, err := client.Registries().Short(name)
	if err != nil || list != nil {
		return list, err
	}
	return []registries.Candidate{{Name: ref}}, nil
}

// registryError says in Docker's words what a registry's answer means, with what
// a person can do about it.
func registryError(err error, ref reference.Named) error {
	var answer *remote.Error
	if !errors.As(err, &answer) {
		if errors.Is(err, remote.ErrNoCredentials) {
			return hint.With(err, "cfs login "+reference.Domain(ref))
		}
		return tlsHint(err)
	}
	name := reference.FamiliarName(ref)
	switch answer.Code {
	case "DENIED":
		err = fmt.Errorf("pull access denied for %s, repository does not exist or may require 'docker login': %w", name, err)
		return hint.With(err, "is the name right? If so: cfs login "+reference.Domain(ref))
	case "MANIFEST_UNKNOWN":
		return fmt.Errorf("manifest for %s not found: %w", reference.FamiliarString(ref), err)
	case "NAME_UNKNOWN":
		return fmt.Errorf("repository %s not found: %w", name, err)
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		return hint.With(err, "cfs login "+reference.Domain(ref))
	case http.StatusTooManyRequests:
		return limitHint(err, answer, ref)
	case http.StatusNotFound:
		return fmt.Errorf("manifest for %s not found: %w", reference.FamiliarString(ref), err)
	}
	return err
}

// limitHint explains a rate limit.
func limitHint(err error, answer *remote.Error, ref reference.Named) error {
	text := fmt.Sprintf("%s limits how much one may pull", reference.Domain(ref))
	if answer.Limit != "" {
		text += " (" + answer.Limit + ": so many in so many seconds)"
	}
	if answer.RetryAfter > 0 {
		text += fmt.Sprintf("; it asks to wait %v", answer.RetryAfter)
	}
	return hint.With(err, text+"; those who log in have more (cfs login), and a mirror in registries.conf has none")
}

// tlsHint says what to do about a registry that is not trusted, or speaks no TLS.
func tlsHint(err error) error {
	if remote.IsUntrusted(err) {
		return hint.With(err, "put the registry's CA into /etc/docker/certs.d/HOST/ca.crt, or name its directory with --cert-dir; --tls-verify=false trusts anybody")
	}
	if remote.IsPlain(err) {
		return hint.With(err, "the registry speaks plain HTTP; --tls-verify=false, or insecure = true in registries.conf, allows that")
	}
	return err
}
