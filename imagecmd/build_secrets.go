package imagecmd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/cfs-project/cfs/imagecmd/buildcontext"
)

// A BuildSecret is one --secret: what RUN --mount=type=secret shows by its ID, or what a URL or a repository
// wants to be fetched, see [buildcontext.Fetch].
type BuildSecret struct {
	ID   string
	File string // it is the content of that file
	Env  string // or of that variable of the environment
}

// A BuildSSH is one --ssh: the agent that RUN --mount=type=ssh reaches by its ID.
type BuildSSH struct {
	ID     string
	Socket string // of the agent
}

// maxSecret is BuildKit's bound of a secret, in bytes.
const maxSecret = 500 << 10

// ParseSecret reads id=ID[,src=FILE|,env=NAME][,type=file|env]. Without a source it is
// the variable of the ID's name, or else the file.
func ParseSecret(s string) (BuildSecret, error) {
	var out BuildSecret
	kind, source := "", ""
	for field := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(field, "=")
		if !ok || value == "" {
			return out, fmt.Errorf("secret %q: %q is not KEY=VALUE", s, field)
		}
		switch strings.ToLower(key) {
		case "id":
			out.ID = value
		case "source", "src":
			source = value
		case "env":
			out.Env = value
		case "type":
			if kind = value; kind != "file" && kind != "env" {
				return out, fmt.Errorf("secret %q: unsupported secret type %q: there are file and env", s, value)
			}
		default:
			return out, fmt.Errorf("secret %q: unexpected key '%s'", s, key)
		}
	}
	if out.ID == "" {
		return out, fmt.Errorf("secret %q has no id", s)
	}
	switch {
	case kind == "env" && out.Env == "":
		out.Env = source
	case out.Env == "":
		out.File = source
	}
	if out.Env == "" && out.File == "" {
		if out.File = out.ID; kind != "file" {
			if _, set := os.LookupEnv(out.ID); set || kind == "env" {
				out.Env, out.File = out.ID, ""
			}
		}
	}
	return out, nil
}

// ParseSSH reads ID[=SOCKET]; "default" is the agent of SSH_AUTH_SOCK.
func ParseSSH(s string) (BuildSSH, error) {
	id, socket, _ := strings.Cut(s, "=")
	if socket == "" {
		if socket = os.Getenv("SSH_AUTH_SOCK"); socket == "" {
			return BuildSSH{}, fmt.Errorf("--ssh %s: there is no agent: SSH_AUTH_SOCK is not set", s)
		}
	}
	fi, err := os.Stat(socket)
	if err != nil {
		return BuildSSH{}, fmt.Errorf("--ssh %s: %w", s, err)
	}
	if fi.Mode()&os.ModeSocket == 0 {
		return BuildSSH{}, fmt.Errorf("--ssh %s: %s is no socket of an agent; ssh-add puts a key into one", s, socket)
	}
	return BuildSSH{ID: id, Socket: socket}, nil
}

// secretStore is the secrets and agents of a build.
type secretStore struct {
	secrets map[string]BuildSecret
	agents  map[string]string
}

func newSecrets(secrets []BuildSecret, agents []BuildSSH) (*secretStore, error) {
	s := &secretStore{secrets: map[string]BuildSecret{}, agents: map[string]string{}}
	for _, x := range secrets {
		s.secrets[x.ID] = x
		if _, _, err := s.get(x.ID); err != nil { // before anything is done
			return nil, err
		}
	}
	for _, x := range agents {
		s.agents[x.ID] = x.Socket
	}
	return s, nil
}

// get is a secret; false if there is none of that ID.
func (s *secretStore) get(id string) ([]byte, bool, error) {
	x, ok := s.secrets[id]
	if !ok {
		return nil, false, nil
	}
	if x.Env != "" {
		value, set := os.LookupEnv(x.Env)
		if !set {
			return nil, false, fmt.Errorf("secret %s: the environment has no %s", id, x.Env)
		}
		return []byte(value), true, nil
	}
	f, err := os.Open(x.File)
	if err != nil {
		return nil, false, fmt.Errorf("secret %s: %w", id, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(data) > maxSecret {
		err = fmt.Errorf("it is larger than %d KiB", maxSecret>>10)
	}
	if err != nil {
		return nil, false, fmt.Errorf("secret %s: %w", id, err)
	}
	return data, true, nil
}

// fetch is how contexts and what ADD names are fetched: with the secrets and the agent that there are for it.
func (b *builder) fetch() buildcontext.Fetch {
	f := buildcontext.Fetch{Secret: b.secrets.get}
	if agent, ok := b.secrets.agents["default"]; ok {
		f.GitEnv = append(os.Environ(), "SSH_AUTH_SOCK="+agent)
	}
	return f
}

// agent lets the container reach an agent, through a socket of its own: the person's
// may be nobody else's.
func (m *runMounts) agent(ctx context.Context, mount *instructions.Mount, o *RunOptions) error {
	b := m.s.b
	id := mount.CacheID
	if id == "" {
		id = "default"
	}
	socket, ok := b.secrets.agents[id]
	if !ok {
		if mount.Required {
			return fmt.Errorf("unset ssh forward key %s", id)
		}
		return nil
	}
	dir, discard, err := b.st.TempDir(ctx, "agent")
	if err != nil {
		return err
	}
	m.undo = append(m.undo, func() error { discard(); return nil })
	l, err := listenAgent(dir)
	if err != nil {
		return err
	}
	go forwardAgent(l, socket)
	m.undo = append(m.undo, l.Close)
	ours := filepath.Join(dir, agentSocket)
	target := mount.Target
	if target == "" {
		target = fmt.Sprintf("/run/buildkit/ssh_agent.%d", len(o.views))
	}
	o.views = append(o.views, view{Target: target, Writable: true, Host: ours, Owner: ownerOf(mount, 0o600)})
	o.places.Mounts = append(o.places.Mounts, target)
	o.Env = append(o.Env, "SSH_AUTH_SOCK="+target)
	return nil
}

// agentSocket is the name of an agent's socket in its directory.
const agentSocket = "agent"

func listenAgent(dir string) (*net.UnixListener, error) {
	addr, done, err := socketAddress(dir, agentSocket)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the name is valid no more
	return l, nil
}

// forwardAgent connects who connects to l with the agent.
func forwardAgent(l net.Listener, agent string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			a, err := net.Dial("unix", agent)
			if err != nil {
				return
			}
			defer a.Close()
			go func() {
				_, _ = io.Copy(a, c)
				_ = a.(*net.UnixConn).CloseWrite()
			}()
			_, _ = io.Copy(c, a)
		}()
	}
}
