//go:build systemd

package main

import "testing"

// TestSystemd runs testdata/systemd/*.txtar, on a machine that systemd runs and where the
// stranger has a session: that of .ci/vm-systemd.
func TestSystemd(t *testing.T) { runScripts(t, "testdata/systemd") }
