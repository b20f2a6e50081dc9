package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/internal/imagegen"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/userns"
)

// writeBundle makes a bundle with the configuration that cfs run would give its
// container, on an extracted tree.
func writeBundle(ctx context.Context, g *bench.Ground, layer imagegen.Layer) (string, error) {
	bundle, err := g.Sub("bundle")
	if err != nil {
		return "", err
	}
	rootfs, err := g.Sub("bundle/rootfs")
	if err != nil {
		return "", err
	}
	tar := filepath.Join(g.Dir, "layer.tar")
	if err := os.WriteFile(tar, layer.Tar(), 0o644); err != nil {
		return "", err
	}
	if err := bench.Extract(ctx, tar, rootfs); err != nil {
		return "", err
	}
	mapping, err := userns.Current()
	if err != nil {
		return "", err
	}
	spec := runtime.DefaultSpec(runtime.SpecOptions{
		Args: []string{"true"}, Hostname: "bench", Network: runtime.NetworkNone, NoNewPrivileges: true, Mapping: mapping,
	})
	spec.Version = "1.0.2"                                              // what crun 1.8 and runc 1.1 know; nothing newer is used
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} { // as cfs run binds them
		file := filepath.Join(bundle, name)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			return "", err
		}
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: file, Options: []string{"bind", "rprivate"}})
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	return bundle, os.WriteFile(filepath.Join(bundle, "config.json"), b, 0o644)
}
