package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// newTransport is HTTP as registries need it: bytes as they are, proxies as the
// environment says ($HTTPS_PROXY, $HTTP_PROXY, $NO_PROXY), TLS by config.
func newTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   30 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // a blob is what its digest is of
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10,
	}
}

// certDirs are where certificates for a host are looked for; the first that is
// there counts. The order is that of containers-certs.d(5), with Docker's last.
func certDirs(host string) []string {
	var out []string
	if dir, err := os.UserConfigDir(); err == nil {
		out = append(out, filepath.Join(dir, "containers", "certs.d", host), filepath.Join(dir, "docker", "certs.d", host))
	}
	return append(out, filepath.Join("/etc/containers/certs.d", host), filepath.Join("/etc/docker/certs.d", host))
}

// tlsConfig is the TLS of a host: dir, or else the first of certDirs, may add
// roots (*.crt) to the system's, and client certificates (*.cert with *.key).
func tlsConfig(host, dir string, insecure bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	dirs := certDirs(host)
	if dir != "" {
		dirs = []string{dir}
	}
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if errors.Is(err, fs.ErrNotExist) && dir == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("certificates of %s: %w", host, err)
		}
		return c, addCerts(c, d, entries)
	}
	return c, nil
}

func addCerts(c *tls.Config, dir string, entries []os.DirEntry) error {
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		base, ext := strings.TrimSuffix(path, filepath.Ext(path)), filepath.Ext(path)
		switch ext {
		case ".crt":
			if c.RootCAs == nil {
				pool, err := x509.SystemCertPool()
				if err != nil {
					return err
				}
				c.RootCAs = pool
			}
			pem, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if !c.RootCAs.AppendCertsFromPEM(pem) {
				return fmt.Errorf("%s: no certificate in it", path)
			}
		case ".cert":
			pair, err := tls.LoadX509KeyPair(path, base+".key")
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("missing key %s for client certificate %s. CA certificates must use the extension .crt", base+".key", path) // Docker's words
			}
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			c.Certificates = append(c.Certificates, pair)
		case ".key":
			if _, err := os.Stat(base + ".cert"); err != nil {
				return fmt.Errorf("missing client certificate %s for key %s", base+".cert", path)
			}
		}
	}
	return nil
}

// isCertError tells that a TLS server was there, and is not trusted.
func isCertError(err error) bool {
	var c *tls.CertificateVerificationError
	var a tls.AlertError
	return errors.As(err, &c) || errors.As(err, &a)
}

// IsUntrusted tells that a registry's certificate is not signed by anyone who is
// trusted, or is for another name.
func IsUntrusted(err error) bool {
	var c *tls.CertificateVerificationError
	return errors.As(err, &c)
}

// IsPlain tells that a registry was spoken to with TLS and answered without.
func IsPlain(err error) bool {
	var r tls.RecordHeaderError
	return errors.As(err, &r) || errors.Is(err, http.ErrSchemeMismatch)
}
