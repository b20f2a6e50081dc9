package testregistry

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cfs-project/cfs/internal/deathsig"
)

// Program is Debian's registry, of the package of that name.
const Program = "docker-registry"

// Options say what a registry asks of its clients.
type Options struct {
	// User and Password are whom it knows; "" lets anybody in.
	User, Password string
	// TLS makes it speak that, with a certificate of a CA of its own; see Registry.CA.
	TLS bool
}

// A Registry is a docker-registry process.
type Registry struct {
	Addr string // 127.0.0.1:PORT
	CA   string // file with the CA's certificate; "" without TLS
	dir  string

	cmd   *exec.Cmd
	ended <-chan struct{}
	log   bytes.Buffer
}

// ErrMissing: the program is not installed.
var ErrMissing = errors.New(Program + " is not installed")

// Start starts a registry whose data, and all it needs, are in dir. The caller
// stops it.
func Start(dir string, o Options) (*Registry, error) {
	if _, err := exec.LookPath(Program); err != nil {
		return nil, ErrMissing
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Registry{Addr: l.Addr().String(), dir: dir}
	if err := l.Close(); err != nil {
		return nil, err
	}
	config := "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n" +
		"storage: {filesystem: {rootdirectory: " + filepath.Join(dir, "data") + "}, delete: {enabled: true}}\n" +
		"http:\n  addr: " + r.Addr + "\n  secret: of the tests\n"
	if o.TLS {
		cert, key, err := r.certificate()
		if err != nil {
			return nil, err
		}
		config += "  tls: {certificate: " + cert + ", key: " + key + "}\n"
	}
	if o.User != "" {
		users, err := exec.Command("htpasswd", "-Bbn", o.User, o.Password).Output()
		if err != nil {
			return nil, fmt.Errorf("htpasswd: %w", err)
		}
		path := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(path, users, 0o600); err != nil {
			return nil, err
		}
		config += "auth: {htpasswd: {realm: tests, path: " + path + "}}\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	return r, r.Restart()
}

// Restart starts the registry at the address and with the data that it had.
func (r *Registry) Restart() error {
	r.cmd = exec.Command(Program, "serve", filepath.Join(r.dir, "config.yml"))
	r.log.Reset()
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	r.cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // REGISTRY_… would be configuration
	if err := deathsig.Start(r.cmd); err != nil {
		return err
	}
	ended := make(chan struct{})
	r.ended = ended
	go func() {
		_ = r.cmd.Wait()
		close(ended)
	}()
	for {
		c, err := net.Dial("tcp", r.Addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("%s did not start:\n%s", Program, r.log.Bytes())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Kill ends the registry as a power cut does.
func (r *Registry) Kill() {
	_ = r.cmd.Process.Kill()
	<-r.ended
}

// Data is the directory of what was pushed.
func (r *Registry) Data() string { return filepath.Join(r.dir, "data") }
