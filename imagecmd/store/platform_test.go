package store

import (
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPickPlatform(t *testing.T) {
	parse := func(s string) *ocispec.Platform {
		if s == "-" {
			return nil
		}
		f := append(strings.Split(s, "/"), "", "")
		return &ocispec.Platform{OS: f[0], Architecture: f[1], Variant: f[2]}
	}
	for _, tc := range []struct {
		want, have string
		at         int
	}{
		{"linux/amd64/v3", "linux/arm64 linux/amd64", 1},
		{"linux/amd64/v3", "linux/amd64 linux/amd64/v2 linux/amd64/v3 linux/amd64/v4", 2},
		{"linux/amd64/v3", "linux/amd64/v4 linux/amd64/v2 linux/amd64", 1},
		{"linux/amd64/v1", "linux/amd64/v2 linux/amd64/v3", -1},
		{"linux/amd64", "linux/x86_64", 0},
		{"linux/amd64", "windows/amd64 linux/386", -1},
		{"linux/arm64", "linux/arm/v7 linux/arm64/v8", 1},
		{"linux/arm64/v8.2", "linux/arm64/v8 linux/arm64/v8.1 linux/arm64/v9", 1},
		{"linux/arm/v7", "linux/arm/v5 linux/arm/v6", 1},
		{"linux/arm/v6", "linux/arm linux/arm/v5", 1},
		{"linux/amd64", "unknown/unknown linux/arm64", -1},
		{"linux/amd64", "-", 0},
		{"linux/amd64", "- linux/amd64", 1},
		{"linux/amd64", "linux/amd64 linux/amd64", 0},
		{"linux/amd64", "", -1},
	} {
		var list []ocispec.Descriptor
		for _, h := range strings.Fields(tc.have) {
			list = append(list, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Platform: parse(h)})
		}
		if at := pickPlatform(normalPlatform(*parse(tc.want)), list); at != tc.at {
			t.Errorf("%s of %q: %d, want %d", tc.want, tc.have, at, tc.at)
		}
	}
}
