package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cfs-project/cfs/internal/testregistry"
)

// startRegistry is the script command
//
//	registry NAME [-tls] [USER:PASSWORD]
//
// It starts a registry for the rest of the script; its address is then $NAME, and
// the directory with its CA's certificate, for --cert-dir, $NAME_CA.
func startRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: registry NAME [-tls] [USER:PASSWORD]")
	}
	var o testregistry.Options
	for _, arg := range args[1:] {
		if arg == "-tls" {
			o.TLS = true
			continue
		}
		o.User, o.Password, _ = strings.Cut(arg, ":")
	}
	dir := ts.MkAbs("registry-" + args[0])
	ts.Check(os.Mkdir(dir, 0o700))
	r, err := testregistry.Start(dir, o)
	ts.Check(err)
	ts.Defer(r.Kill)
	ts.Setenv(args[0], r.Addr)
	if r.CA == "" {
		return
	}
	ca := ts.MkAbs("ca-" + args[0])
	ts.Check(os.Mkdir(ca, 0o755))
	cert, err := os.ReadFile(r.CA)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(ca, "ca.crt"), cert, 0o644))
	ts.Setenv(args[0]+"_CA", ca)
}
