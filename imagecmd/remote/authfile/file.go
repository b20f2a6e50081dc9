package authfile

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

// The sentinels of the package.
var (
	// ErrInvalid: a file is not what Docker's or podman's documentation says.
	ErrInvalid = errors.New("invalid credentials file")
	// ErrExposed: a file may be read by others than its owner.
	ErrExposed = errors.New("others can read it")
)

// content is a file; what is not known of it is kept in rest.
type content struct {
	rest    map[string]json.RawMessage
	auths   map[string]json.RawMessage
	helpers map[string]string
	store   string
}

// entry is one line of auths.
type entry struct {
	Auth          string `json:"auth,omitempty"` // base64 of USER:PASSWORD
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

// read reads a file; one that is not there, or empty, says nothing.
func read(path string) (*content, error) {
	c := &content{rest: map[string]json.RawMessage{}, auths: map[string]json.RawMessage{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(raw)) == "" {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	if err := c.parse(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *content) parse(raw []byte) error {
	if err := json.Unmarshal(raw, &c.rest); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if c.rest == nil { // null
		c.rest = map[string]json.RawMessage{}
	}
	for key, to := range map[string]any{"auths": &c.auths, "credHelpers": &c.helpers, "credsStore": &c.store} {
		if part, ok := c.rest[key]; ok {
			if err := json.Unmarshal(part, to); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrInvalid, key, err)
			}
		}
	}
	if c.auths == nil {
		c.auths = map[string]json.RawMessage{}
	}
	return nil
}

// credential is what auths has under a key; empty when it has nothing.
func (c *content) credential(key string) (auth.Credential, error) {
	raw, ok := c.auths[key]
	if !ok {
		return auth.Credential{}, nil
	}
	var e entry
	if err := json.Unmarshal(raw, &e); err != nil {
		return auth.Credential{}, fmt.Errorf("%w: auths of %s: %w", ErrInvalid, key, err)
	}
	cred := auth.Credential{Username: e.Username, Password: e.Password, RefreshToken: e.IdentityToken, AccessToken: e.RegistryToken}
	if e.Auth != "" {
		plain, err := base64.StdEncoding.DecodeString(e.Auth)
		user, password, found := strings.Cut(string(plain), ":")
		if err != nil || !found {
			return auth.Credential{}, fmt.Errorf("%w: auths of %s: its auth is not USER:PASSWORD in base64", ErrInvalid, key)
		}
		// Docker pads with NUL what it read from elsewhere.
		cred.Username, cred.Password = user, strings.Trim(password, "\x00")
	}
	return cred, nil
}

// change reads a file under its directory's lock, and writes it again if fn says
// that it is another. A file that is not there is made, for the owner alone.
func change(ctx context.Context, path string, fn func(c *content) (changed bool, err error)) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	for unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	c, err := read(path)
	if err != nil {
		return err
	}
	changed, err := fn(c)
	if err != nil || !changed {
		return err
	}
	if c.rest["auths"], err = json.Marshal(c.auths); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(c.rest, "", "\t")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, raw, 0o600, renameio.WithExistingPermissions())
}

// checkPrivate refuses a file that others may read.
func checkPrivate(path string) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %#o: %w", path, fi.Mode().Perm(), ErrExposed)
	}
	return nil
}
