package imagecmd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/remote/auth"
	"github.com/cfs-project/cfs/imagecmd/remote/authfile"
)

// LoginOptions says who logs in where.
type LoginOptions struct {
	Server   string // a registry; "" is Docker Hub
	Username string
	Password string
	// PasswordStdin takes the password from Stdin, to its end.
	PasswordStdin bool
	// Stdin is where what is not given is asked for, if it is a terminal.
	Stdin    *os.File
	Registry RegistryOptions
}

// Login asks a registry whether it knows the user, and keeps the credentials if
// so. Without any, those that are kept are tried first. What is asked for, but
// the password, is on out.
func Login(ctx context.Context, o LoginOptions, out io.Writer) error {
	if o.PasswordStdin && o.Username == "" {
		return sentencef(nil, "Must provide --username with --password-stdin")
	}
	client, err := o.Registry.client()
	if err != nil {
		return err
	}
	l := login{client: client, o: o, registry: remote.RegistryOf(o.Server), out: out, asksName: o.Username == ""}
	if o.Username == "" && o.Password == "" {
		if done, err := l.existing(ctx); done || err != nil {
			return err
		}
	}
	cred, err := l.ask()
	if err != nil {
		return err
	}
	if err := client.Login(ctx, l.registry, cred); err != nil {
		return tlsHint(err)
	}
	saved, err := client.Credentials().Put(ctx, l.registry, cred)
	if err != nil {
		return err
	}
	if saved.Plain {
		o.Registry.say("WARNING! Your password will be stored unencrypted in %s.\n"+
			"Configure a credential helper to remove this warning. See\n"+
			"https://docs.docker.com/engine/reference/commandline/login/#credentials-store\n", saved.Path)
	}
	fmt.Fprintln(out, "Login Succeeded")
	return nil
}

type login struct {
	client   *remote.Client
	o        LoginOptions
	registry string
	out      io.Writer
	asksName bool // the name was not given, or is only a proposal
}

// existing tries the credentials that are kept. Where they are refused, new ones
// are to be asked for.
func (l *login) existing(ctx context.Context) (done bool, err error) {
	cred, err := l.client.Credentials().Get(ctx, l.registry, "")
	if err != nil || cred == (auth.Credential{}) {
		return false, err
	}
	fmt.Fprintln(l.out, "Authenticating with existing credentials...")
	err = l.client.Login(ctx, l.registry, cred)
	var answer *remote.Error
	switch {
	case err == nil:
		fmt.Fprintln(l.out, "Login Succeeded")
		return true, nil
	case errors.As(err, &answer):
		l.o.Registry.say("Login did not succeed, error: %v", err)
		l.o.Username = cred.Username
		return false, nil
	}
	return false, tlsHint(err)
}

// ask completes the credentials.
func (l *login) ask() (auth.Credential, error) {
	cred := auth.Credential{Username: strings.TrimSpace(l.o.Username), Password: l.o.Password}
	if l.o.PasswordStdin {
		raw, err := io.ReadAll(io.LimitReader(l.o.Stdin, maxPassword))
		if err != nil {
			return cred, fmt.Errorf("read the password: %w", err)
		}
		cred.Password = strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	}
	if cred.Username != "" && cred.Password != "" {
		return cred, nil
	}
	if l.o.PasswordStdin || l.o.Stdin == nil || !term.IsTerminal(int(l.o.Stdin.Fd())) {
		return cred, sentencef(nil, "Cannot perform an interactive login from a non TTY device")
	}
	if l.registry == "docker.io" {
		fmt.Fprintln(l.out, "Login with your Docker ID to push and pull images from Docker Hub. If you don't have a Docker ID, head over to https://hub.docker.com to create one.")
	}
	if l.asksName {
		name, err := l.askName(cred.Username)
		if err != nil {
			return cred, err
		}
		cred.Username = name
	}
	if cred.Password == "" {
		fmt.Fprint(l.out, "Password: ")
		raw, err := term.ReadPassword(int(l.o.Stdin.Fd()))
		fmt.Fprintln(l.out)
		if err != nil {
			return cred, fmt.Errorf("read the password: %w", err)
		}
		cred.Password = string(raw)
	}
	if cred.Password == "" {
		return cred, errors.New("password is required")
	}
	return cred, nil
}

// askName asks for the user's name, which may be proposed.
func (l *login) askName(proposed string) (string, error) {
	prompt := "Username: "
	if proposed != "" {
		prompt = fmt.Sprintf("Username (%s): ", proposed)
	}
	fmt.Fprint(l.out, prompt)
	line, err := bufio.NewReader(l.o.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the user name: %w", err)
	}
	name := cmp.Or(strings.TrimSpace(line), proposed)
	if name == "" {
		return "", errors.New("username is required")
	}
	return name, nil
}

// maxPassword bounds what is read from standard input, in bytes.
const maxPassword = 64 << 10

// Logout forgets a registry's credentials, wherever cfs would find them; server ""
// is Docker Hub.
func Logout(ctx context.Context, server string, out io.Writer) error {
	files, err := authfile.Find()
	if err != nil {
		return err
	}
	registry := remote.RegistryOf(server)
	shown := registry
	if registry == "docker.io" {
		shown = "https://index.docker.io/v1/"
	}
	fmt.Fprintf(out, "Removing login credentials for %s\n", shown)
	return files.Delete(ctx, registry)
}
