package store

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/cpu"
)

// HostPlatform is what this machine runs, with the highest variant of its
// instruction set: amd64 v1 to v4 (the x86-64 psABI's levels), arm v5 to v7.
func HostPlatform() ocispec.Platform {
	p := ocispec.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}
	switch p.Architecture {
	case "amd64":
		p.Variant = "v" + strconv.Itoa(amd64Level())
	case "arm64":
		p.Variant = "v8"
	case "arm":
		p.Variant = "v6"
		if cpu.ARM.HasVFPv3 || cpu.ARM.HasNEON {
			p.Variant = "v7"
		}
	}
	return p
}

// amd64Level is the psABI level of the CPU, as far as the features that
// golang.org/x/sys/cpu knows tell the levels apart.
func amd64Level() int {
	x := &cpu.X86
	switch {
	case !(x.HasSSE3 && x.HasSSSE3 && x.HasSSE41 && x.HasSSE42 && x.HasPOPCNT && x.HasCX16):
		return 1
	case !(x.HasAVX && x.HasAVX2 && x.HasBMI1 && x.HasBMI2 && x.HasFMA):
		return 2
	case !(x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL):
		return 3
	}
	return 4
}

// normalPlatform spells a platform the one way this package compares.
func normalPlatform(p ocispec.Platform) ocispec.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	case "i386", "i686":
		p.Architecture = "386"
	}
	if p.Variant == "" {
		switch p.Architecture {
		case "amd64":
			p.Variant = "v1"
		case "arm64":
			p.Variant = "v8"
		case "arm":
			p.Variant = "v7"
		}
	}
	return p
}

// ParsePlatform reads a platform as people write it: OS/ARCH[/VARIANT], or an OS
// or an architecture alone, which is then the host's otherwise.
func ParsePlatform(s string) (ocispec.Platform, error) {
	parts := strings.Split(s, "/")
	for _, p := range parts {
		if !platformPart().MatchString(p) {
			return ocispec.Platform{}, fmt.Errorf("invalid platform %q: it is OS/ARCH[/VARIANT], such as linux/arm64", s)
		}
	}
	host := HostPlatform()
	switch len(parts) {
	case 1:
		p := normalPlatform(ocispec.Platform{OS: host.OS, Architecture: parts[0]})
		if slices.Contains(systems, strings.ToLower(s)) {
			p = normalPlatform(ocispec.Platform{OS: s, Architecture: host.Architecture, Variant: host.Variant})
		}
		return p, nil
	case 2:
		return normalPlatform(ocispec.Platform{OS: parts[0], Architecture: parts[1]}), nil
	case 3:
		return normalPlatform(ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}), nil
	}
	return ocispec.Platform{}, fmt.Errorf("invalid platform %q: it is OS/ARCH[/VARIANT], such as linux/arm64", s)
}

var platformPart = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]+$`) })

// systems are the operating systems that images are made for.
var systems = []string{"linux", "windows", "freebsd", "darwin"}

// For is nil if the image runs on a machine of that platform, by the index that it
// was chosen from and by its own config; else ErrPlatform.
func (m Manifest) For(p ocispec.Platform) error {
	if m.Mismatch != nil {
		return m.Mismatch
	}
	if rank(normalPlatform(p), m.Config.Platform) < 0 {
		return fmt.Errorf("%w: it is for %s, not %s", ErrPlatform, FormatPlatform(m.Config.Platform), FormatPlatform(p))
	}
	return nil
}

// rank tells how well an image built for have suits a machine that is want:
// negative not at all, else the higher the better.
func rank(want, have ocispec.Platform) int {
	have = normalPlatform(have)
	if have.OS != want.OS || have.Architecture != want.Architecture {
		return -1
	}
	if have.Variant == want.Variant {
		return 1000
	}
	w, wok := level(want.Variant)
	h, hok := level(have.Variant)
	if !wok || !hok || h > w {
		return -1
	}
	return h
}

// level is the number in a variant such as "v8" or "v8.2", in tenths.
func level(variant string) (int, bool) {
	major, minor, _ := strings.Cut(strings.TrimPrefix(variant, "v"), ".")
	n, err := strconv.Atoi(major)
	if err != nil || n < 0 || n > 99 {
		return 0, false
	}
	m := 0
	if minor != "" {
		if m, err = strconv.Atoi(minor); err != nil || m < 0 || m > 9 {
			return 0, false
		}
	}
	return 10*n + m, true
}

// pickPlatform chooses among the manifests of an index; -1 when none suits.
// Of equally good ones the first counts. Attestations, whose platform is
// unknown/unknown, never suit.
func pickPlatform(want ocispec.Platform, list []ocispec.Descriptor) int {
	best, at := -1, -1
	for i, d := range list {
		r := 0 // no platform named: better than nothing
		if d.Platform != nil {
			r = rank(want, *d.Platform)
		}
		if isAttestation(d) || !isManifest(d.MediaType) && !isIndex(d.MediaType) {
			continue
		}
		if r > best {
			best, at = r, i
		}
	}
	return at
}

func isAttestation(d ocispec.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] != "" ||
		d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// FormatPlatform is a platform as people write it: "linux/arm64/v8".
func FormatPlatform(p ocispec.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}
