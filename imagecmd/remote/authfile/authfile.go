package authfile

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
	"github.com/cfs-project/cfs/internal/hint"
)

// The keys of Docker Hub, whose registry is registry-1.docker.io.
const (
	hubKey  = "https://index.docker.io/v1/"
	hubName = "docker.io"
)

// Files are the files that count, in the order they are asked.
type Files struct {
	paths []string
	write string // where Put writes
}

// Find looks which files count, by the environment.
func Find() (*Files, error) {
	if path := os.Getenv("REGISTRY_AUTH_FILE"); path != "" {
		return &Files{paths: []string{path}, write: path}, nil
	}
	var paths []string
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		paths = append(paths, filepath.Join(dir, "config.json"))
	} else if home, err := os.UserHomeDir(); err == nil {
		paths = append(paths, filepath.Join(home, ".docker", "config.json"))
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		paths = append(paths, filepath.Join(dir, "containers", "auth.json"))
	}
	if dir, err := os.UserConfigDir(); err == nil {
		paths = append(paths, filepath.Join(dir, "containers", "auth.json"))
	}
	if len(paths) == 0 {
		return nil, errors.New("no place for credentials: neither $HOME nor $DOCKER_CONFIG is set")
	}
	f := &Files{paths: paths, write: paths[0]}
	if os.Getenv("DOCKER_CONFIG") != "" {
		return f, nil
	}
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			f.write = path
			break
		}
	}
	return f, nil
}

// Get is what a registry, HOST[:PORT], is to be told for one of its
// repositories; "" is none in particular. Empty: nobody knows anything.
func (f *Files) Get(ctx context.Context, host, repository string) (auth.Credential, error) {
	for _, path := range f.paths {
		c, err := read(path)
		if err != nil {
			return auth.Credential{}, err
		}
		cred, err := c.get(ctx, host, repository)
		if err != nil {
			return auth.Credential{}, fmt.Errorf("%s: %w", path, err)
		}
		if cred != (auth.Credential{}) {
			return cred, nil
		}
	}
	return auth.Credential{}, nil
}

func (c *content) get(ctx context.Context, host, repository string) (auth.Credential, error) {
	keys := keysOf(host, repository)
	for _, key := range keys {
		if helper := c.helpers[key]; helper != "" {
			return program(helper).get(ctx, key)
		}
	}
	if c.store != "" {
		for _, key := range keysOf(host, "") {
			cred, err := program(c.store).get(ctx, key)
			if err != nil || cred != (auth.Credential{}) {
				return cred, err
			}
		}
	}
	for _, key := range keys {
		if cred, err := c.credential(key); err != nil || cred != (auth.Credential{}) {
			return cred, err
		}
	}
	for key := range c.auths {
		if old, ok := strings.CutPrefix(key, "https://"); ok || strings.HasPrefix(key, "http://") {
			old, _, _ = strings.Cut(strings.TrimPrefix(old, "http://"), "/")
			if old == host {
				return c.credential(key)
			}
		}
	}
	return auth.Credential{}, nil
}

// keysOf lists what a repository's registry may be called, longest first.
func keysOf(host, repository string) []string {
	hub := host == hubName || host == "registry-1."+hubName || host == "index."+hubName
	if hub {
		host = hubName
	}
	var keys []string
	for path := repository; path != "" && path != "."; path = filepath.Dir(path) {
		keys = append(keys, host+"/"+path)
	}
	if hub {
		keys = append(keys, hubKey)
	}
	return append(keys, host)
}

// keyIn is the key that a file of that name has for a registry.
func keyIn(path, host string) string {
	if keys := keysOf(host, ""); filepath.Base(path) != "auth.json" {
		return keys[0]
	}
	return keysOf(host, "")[len(keysOf(host, ""))-1]
}

// Saved says where credentials went.
type Saved struct {
	Path  string // the file
	Plain bool   // they are in it, and not with a docker-credential program
}

// Put keeps a registry's credentials. ErrExposed: others could read them.
func (f *Files) Put(ctx context.Context, host string, cred auth.Credential) (Saved, error) {
	path := f.write
	key := keyIn(path, host)
	saved := Saved{Path: path}
	err := change(ctx, path, func(c *content) (bool, error) {
		helper := c.helpers[key]
		if helper == "" {
			helper = c.store
		}
		if helper != "" {
			if err := program(helper).put(ctx, key, cred); err != nil {
				return false, fmt.Errorf("docker-credential-%s: %w", helper, err)
			}
			c.auths[key] = json.RawMessage("{}") // as Docker does: a registry it is logged in to
			return true, nil
		}
		if err := checkPrivate(path); err != nil {
			return false, hint.With(fmt.Errorf("not storing a password: %w", err), "chmod 600 "+path)
		}
		if strings.Contains(cred.Username, ":") {
			return false, fmt.Errorf("user name %.100q has a colon", cred.Username)
		}
		e := entry{IdentityToken: cred.RefreshToken, RegistryToken: cred.AccessToken}
		if cred.Username != "" || cred.Password != "" {
			e.Auth = base64.StdEncoding.EncodeToString([]byte(cred.Username + ":" + cred.Password))
		}
		raw, err := json.Marshal(e)
		c.auths[key] = raw
		saved.Plain = true
		return true, err
	})
	if err != nil {
		return saved, fmt.Errorf("save credentials of %s: %w", host, err)
	}
	return saved, nil
}

// Delete forgets what any file, or program that one names, knows of a registry.
func (f *Files) Delete(ctx context.Context, host string) error {
	for _, path := range f.paths {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		err := change(ctx, path, func(c *content) (bool, error) {
			changed := false
			for _, key := range keysOf(host, "") {
				_, listed := c.auths[key]
				helper := c.helpers[key]
				if helper == "" {
					helper = c.store
				}
				if helper != "" && (listed || c.helpers[key] != "") {
					if err := program(helper).erase(ctx, key); err != nil {
						return false, fmt.Errorf("docker-credential-%s: %w", helper, err)
					}
				}
				delete(c.auths, key)
				changed = changed || listed
			}
			return changed, nil
		})
		if err != nil {
			return fmt.Errorf("forget credentials of %s: %s: %w", host, path, err)
		}
	}
	return nil
}
