package imagecmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime"
)

// hostFiles are the files of the host's network that a container sees instead
// of the image's: /etc/hostname, /etc/hosts and /etc/resolv.conf. They lie in the
// container's directory and are bound over the root, so that they are part of no
// image.
type hostFiles struct {
	mounts []specs.Mount
	stubs  []string // targets the root lacks; made to be mounted on
}

// writeHostFiles writes the files into dir and looks which targets root lacks.
func writeHostFiles(dir string, root *os.Root, hostname string, o ContainerOptions) (hostFiles, error) {
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	resolv := ""
	if o.Network == string(runtime.NetworkHost) {
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			hosts = strings.TrimRight(string(b), "\n") + "\n"
		}
		if b, err := os.ReadFile("/etc/resolv.conf"); err == nil {
			resolv = string(b)
		}
	}
	if !strings.Contains(hosts, "\t"+hostname+"\n") && !strings.Contains(hosts, " "+hostname+"\n") {
		hosts += "127.0.1.1\t" + hostname + "\n"
	}
	for _, extra := range o.ExtraHosts {
		name, address, _ := strings.Cut(extra, ":")
		hosts += address + "\t" + name + "\n"
	}
	resolv = resolvConf(resolv, o)
	var h hostFiles
	_, err := root.Lstat("etc")
	bare := errors.Is(err, fs.ErrNotExist)
	for _, f := range []struct{ name, content string }{
		{"hostname", hostname + "\n"}, {"hosts", hosts}, {"resolv.conf", resolv},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, []byte(f.content), 0o644); err != nil {
			return h, err
		}
		target := "/etc/" + f.name
		h.mounts = append(h.mounts, specs.Mount{
			Destination: target, Type: "bind", Source: path, Options: []string{"bind", "rprivate"},
		})
		if _, err := root.Lstat(target[1:]); errors.Is(err, fs.ErrNotExist) {
			h.stubs = append(h.stubs, target[1:])
		}
	}
	if bare {
		h.stubs = append(h.stubs, "etc")
	}
	return h, nil
}

// resolvConf is resolv.conf(5) with what a person wants of it in the place of the host's.
func resolvConf(host string, o ContainerOptions) string {
	if len(o.DNS)+len(o.DNSSearch)+len(o.DNSOptions) == 0 {
		return host
	}
	var b strings.Builder
	for line := range strings.Lines(host) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case key == "nameserver" && len(o.DNS) > 0,
			(key == "search" || key == "domain") && len(o.DNSSearch) > 0,
			key == "options" && len(o.DNSOptions) > 0:
			continue
		}
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	for _, a := range o.DNS {
		b.WriteString("nameserver " + a + "\n")
	}
	if search := slices.DeleteFunc(slices.Clone(o.DNSSearch), func(s string) bool { return s == "." }); len(search) > 0 {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	if len(o.DNSOptions) > 0 {
		b.WriteString("options " + strings.Join(o.DNSOptions, " ") + "\n")
	}
	return b.String()
}

// covered tells whether something a person asked for is mounted at a path, or above it.
func covered(mounts []specs.Mount, at string) bool {
	return slices.ContainsFunc(mounts, func(m specs.Mount) bool {
		return m.Destination == at || strings.HasPrefix(at, m.Destination+"/")
	})
}

// removeStubs takes back what was made in the root to mount on, unless the
// container put something there.
func (h hostFiles) removeStubs(root *os.Root) {
	for _, name := range h.stubs {
		if info, err := root.Lstat(name); err == nil && (info.IsDir() || info.Mode().IsRegular() && info.Size() == 0) {
			_ = root.Remove(name) // a directory only if it is empty
		}
	}
}
