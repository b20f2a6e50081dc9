package imagecmd

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestNewProcess(t *testing.T) {
	host := func(name string) (string, bool) {
		if name == "FROM_HOST" {
			return "h", true
		}
		return "", false
	}
	for _, tc := range []struct {
		name string
		cfg  ocispec.ImageConfig
		o    RunOptions
		want process
		err  string
	}{
		{
			name: "image alone",
			cfg:  ocispec.ImageConfig{Cmd: []string{"sh"}, Env: []string{"A=1"}, WorkingDir: "/w", User: "u"},
			want: process{Args: []string{"sh"}, Env: []string{"A=1"}, Cwd: "/w", User: "u"},
		},
		{
			name: "arguments follow the entry point and replace the command",
			cfg:  ocispec.ImageConfig{Entrypoint: []string{"/e", "-x"}, Cmd: []string{"gone"}},
			o:    RunOptions{Command: []string{"a", "b"}},
			want: process{Args: []string{"/e", "-x", "a", "b"}, Entrypoint: []string{"/e", "-x"}, Cwd: "/"},
		},
		{
			name: "the person's word comes last",
			cfg:  ocispec.ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH=/p", "A=1", "B=2"}, User: "u", WorkingDir: "/w"},
			o:    RunOptions{Env: []string{"A=3", "B", "FROM_HOST", "C="}, User: "0:0", Workdir: "/x/../y"},
			want: process{Args: []string{"sh"}, Env: []string{"PATH=/p", "A=1", "A=3", "FROM_HOST=h", "C="}, Cwd: "/y", User: "0:0"},
		},
		{name: "nothing to run", err: "no command specified"},
		{name: "relative directory", cfg: ocispec.ImageConfig{Cmd: []string{"sh"}}, o: RunOptions{Workdir: "x"},
			err: `the working directory 'x' is invalid, it needs to be an absolute path`},
		{name: "nameless variable", cfg: ocispec.ImageConfig{Cmd: []string{"sh"}}, o: RunOptions{Env: []string{"=x"}},
			err: `invalid environment variable: "=x"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := newProcess(tc.cfg, tc.o, host)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Fatalf("error = %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := newProcess(ocispec.ImageConfig{}, RunOptions{}, host); !errors.Is(err, ErrNoCommand) {
		t.Errorf("error = %v, want ErrNoCommand", err)
	}
}

func TestWantsInit(t *testing.T) {
	for cmd, want := range map[string]bool{"sh": true, "/sbin/init": false, "/usr/bin/tini": false, "/bin/sleep": true} {
		if got := wantsInit([]string{cmd}); got != want {
			t.Errorf("wantsInit(%s) = %t, want %t", cmd, got, want)
		}
	}
}
