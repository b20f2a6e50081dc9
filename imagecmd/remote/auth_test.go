package remote

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

const aManifest = `{"schemaVersion":2,"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`

func sendManifest(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	w.Header().Set(digestHeader, string(digest.FromString(aManifest)))
	fmt.Fprint(w, aManifest)
}

// tokens is a registry that wants a token, and its token server.
func tokens(t *testing.T, asked *[]string) (host string) {
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch user, password, _ := r.BasicAuth(); {
		case r.URL.Path == "/token" && user == "alice" && password != "secret":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"details":"incorrect username or password"}`)
		case r.URL.Path == "/token":
			*asked = append(*asked, user+" "+strings.Join(r.URL.Query()["scope"], " "))
			fmt.Fprintf(w, `{"token":"for-%s"}`, user)
		case r.Header.Get("Authorization") == "Bearer for-alice":
			sendManifest(w)
		default:
			scope := ""
			if r.URL.Path != "/v2/" {
				scope = `,scope="repository:x:pull"`
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+server.URL+`/token",service="s"`+scope)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestToken(t *testing.T) {
	ctx := context.Background()
	var asked []string
	c := newClient(t, "")
	host := tokens(t, &asked)
	login(t, host, "alice", "secret")
	r := repository(t, c, host+"/x", false)
	for range 3 {
		if _, _, err := r.Manifest(ctx, "latest"); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != 1 || asked[0] != "alice repository:x:pull" {
		t.Errorf("asked for tokens: %q", asked)
	}
	asked = nil
	if _, err := repository(t, c, host+"/x", true).Head(ctx, "latest"); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || asked[0] != "alice repository:x:pull,push" {
		t.Errorf("asked for tokens to push: %q", asked)
	}
	login(t, host, "bob", "any")
	_, _, err := repository(t, c, host+"/x", false).Manifest(ctx, "latest")
	if err == nil || err.Error() != "unauthorized: authentication required" {
		t.Errorf("of somebody else: %v", err)
	}
	for _, tc := range []struct {
		password string
		ok       bool
	}{{"secret", true}, {"wrong", false}} {
		err := c.Login(ctx, host, auth.Credential{Username: "alice", Password: tc.password})
		if tc.ok != (err == nil) {
			t.Errorf("login with %s: %v", tc.password, err)
		}
		if want := "login attempt to http://" + host + "/v2/ failed with status: 401 Unauthorized"; !tc.ok && err.Error() != want {
			t.Errorf("%v", err)
		}
	}
}

func TestBasic(t *testing.T) {
	ctx := context.Background()
	c := newClient(t, "")
	requests := 0
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		if user, password, _ := r.BasicAuth(); user != "alice" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		sendManifest(w)
	})
	_, err := repository(t, c, host+"/x", false).Head(ctx, "1")
	if want := `Head "http://` + host + `/v2/x/manifests/1": no basic auth credentials`; !errors.Is(err, ErrNoCredentials) || err.Error() != want {
		t.Errorf("%v", err)
	}
	login(t, host, "alice", "secret")
	requests = 0
	r := repository(t, c, host+"/x", false)
	for range 3 {
		if _, err := r.Head(ctx, "1"); err != nil {
			t.Fatal(err)
		}
	}
	if requests != 4 {
		t.Errorf("%d requests for three answers and one question", requests)
	}
}

// Credentials stay with the host they are for.
func TestRedirect(t *testing.T) {
	blob, d := pattern(1000)
	c := newClient(t, "")
	store := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the blob store was told the password")
		}
		w.Write(blob)
	})
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "http://"+store+"/blob", http.StatusTemporaryRedirect)
	})
	login(t, host, "alice", "secret")
	var got memory
	if err := repository(t, c, host+"/x", false).Fetch(context.Background(), d, &got, nil); err != nil {
		t.Error(err)
	}
}

// A registry with TLS is trusted by its CA, by nobody's word, or not at all.
func TestTLS(t *testing.T) {
	ctx := context.Background()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 && r.URL.Path == "/v2/private/manifests/1" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		sendManifest(w)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	name := host + "/x"

	c := newClient(t, "")
	if _, err := repository(t, c, name, false).Head(ctx, "1"); !IsUntrusted(err) {
		t.Errorf("an unknown certificate: %v", err)
	}
	no := false
	c.o.TLSVerify = &no
	if _, err := repository(t, c, name, false).Head(ctx, "1"); err != nil {
		t.Errorf("without verification: %v", err)
	}
	c = newClient(t, "[[registry]]\nlocation = \""+host+"\"\ninsecure = true")
	if _, err := repository(t, c, name, false).Head(ctx, "1"); err != nil {
		t.Errorf("insecure by registries.conf: %v", err)
	}
	yes := true
	c.o.TLSVerify = &yes
	if _, err := repository(t, c, name, false).Head(ctx, "1"); !IsUntrusted(err) {
		t.Errorf("insecure by registries.conf, but not by the flag: %v", err)
	}

	c = newClient(t, "")
	dir := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "containers", "certs.d", host)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := repository(t, c, name, false).Head(ctx, "1"); err != nil {
		t.Errorf("with the CA: %v", err)
	}
	var answer *Error
	if _, err := repository(t, c, host+"/private", false).Head(ctx, "1"); !errors.As(err, &answer) || answer.Status != 403 {
		t.Errorf("without a certificate of one's own: %v", err)
	}

	for name, files := range map[string]map[string]string{
		"a CA that is none":         {"ca.crt": "x"},
		"a certificate without key": {"client.cert": string(ca)},
		"a key without certificate": {"client.key": "x"},
	} {
		dir := t.TempDir()
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tlsConfig(host, dir, false); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := tlsConfig(host, filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that was asked for and is not there: %v", err)
	}
}

// Plain HTTP is not for hosts that are elsewhere.
func TestPlainHTTP(t *testing.T) {
	for name, want := range map[string]bool{
		"127.0.0.1:5000": true, "127.9.9.9": true, "localhost": true, "localhost:5000": true, "[::1]:5000": true, "x.localhost": true,
		"docker.io": false, "10.0.0.1:5000": false, "localhost.example.com": false, "127.0.0.1.example.com:5000": false,
	} {
		h := &host{addr: name}
		if h.loopback() != want {
			t.Errorf("%s is loopback: %t", name, !want)
		}
		if !want {
			if base, err := h.base(context.Background()); err != nil || base != "https://"+name {
				t.Errorf("%s: %s, %v", name, base, err)
			}
		}
	}
}
