package authfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

// A program keeps credentials in a place of its own: docker-credential-NAME, by the
// protocol of docker/docker-credential-helpers.
type program string

// tokenUser is the user whose secret is an identity token.
const tokenUser = "<token>"

// unknown is what a program says of a registry that it has nothing of.
const unknown = "credentials not found in native keychain"

// secret is what a program keeps, as it reads and writes it.
type secret struct {
	ServerURL string
	Username  string
	Secret    string
}

// get is who one is to a registry; nobody, where the program knows nothing.
func (p program) get(ctx context.Context, key string) (auth.Credential, error) {
	out, err := p.run(ctx, "get", strings.NewReader(key))
	if err != nil {
		if err.Error() == unknown {
			err = nil
		}
		return auth.Credential{}, err
	}
	var s secret
	if err := json.Unmarshal(out, &s); err != nil {
		return auth.Credential{}, fmt.Errorf("docker-credential-%s: %w", p, err)
	}
	if s.Username == tokenUser {
		return auth.Credential{RefreshToken: s.Secret}, nil
	}
	return auth.Credential{Username: s.Username, Password: s.Secret}, nil
}

func (p program) put(ctx context.Context, key string, cred auth.Credential) error {
	s := secret{ServerURL: key, Username: cred.Username, Secret: cred.Password}
	if cred.RefreshToken != "" {
		s.Username, s.Secret = tokenUser, cred.RefreshToken
	}
	raw, err := json.Marshal(s)
	if err == nil {
		_, err = p.run(ctx, "store", bytes.NewReader(raw))
	}
	return err
}

func (p program) erase(ctx context.Context, key string) error {
	_, err := p.run(ctx, "erase", strings.NewReader(key))
	return err
}

// run gives what the program prints, which is the error when it fails.
func (p program) run(ctx context.Context, action string, in io.Reader) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "docker-credential-"+string(p), action)
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	out, err := cmd.Output()
	var failed *exec.ExitError
	if said := string(bytes.TrimSpace(out)); errors.As(err, &failed) && said != "" {
		return nil, errors.New(said)
	}
	return out, err
}
