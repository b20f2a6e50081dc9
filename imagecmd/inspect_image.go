package imagecmd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// ImageObject is an image as `docker image inspect` shows it (API 1.41). The
// names of the fields are those of templates, the tags those of JSON.
type ImageObject struct {
	ID              digest.Digest `json:"Id"`
	RepoTags        []string
	RepoDigests     []string
	Parent          digest.Digest
	Comment         string
	Created         string
	Container       string
	ContainerConfig DockerConfig
	DockerVersion   string
	Author          string
	Config          DockerConfig
	Architecture    string
	Variant         string `json:",omitempty"`
	Os              string
	OsVersion       string `json:",omitempty"`
	Size            int64  // bytes of the files in all layers
	VirtualSize     int64  // the same; Docker has had two
	GraphDriver     GraphDriver
	RootFS          RootFS
	Metadata        Metadata
}

// RootFS is the layers of an image, bottom first.
type RootFS struct {
	Type   string
	Layers []digest.Digest `json:",omitempty"`
}

// Metadata is what Docker knows of an image that the image itself does not say.
type Metadata struct {
	LastTagTime time.Time // zero: nobody has named it here, it came with its name
}

// DockerConfig is how a container is started, in the fields of Docker's image
// configs, which the OCI's are some of.
type DockerConfig struct {
	Hostname        string
	Domainname      string
	User            string
	AttachStdin     bool
	AttachStdout    bool
	AttachStderr    bool
	ExposedPorts    map[string]struct{} `json:",omitempty"`
	Tty             bool
	OpenStdin       bool
	StdinOnce       bool
	Env             []string
	Cmd             []string
	Healthcheck     *Healthcheck `json:",omitempty"`
	ArgsEscaped     bool         `json:",omitempty"`
	Image           string
	Volumes         map[string]struct{}
	WorkingDir      string
	Entrypoint      []string
	NetworkDisabled bool   `json:",omitempty"`
	MacAddress      string `json:",omitempty"`
	OnBuild         []string
	Labels          map[string]string
	StopSignal      string   `json:",omitempty"`
	StopTimeout     *int     `json:",omitempty"` // seconds
	Shell           []string `json:",omitempty"`
}

// Healthcheck is how a container is asked whether it is well.
type Healthcheck struct {
	Test          []string      `json:",omitempty"`
	Interval      time.Duration `json:",omitempty"` // nanoseconds in JSON, as the others
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

// dockerImage is what Docker keeps in an image's config beside the OCI's fields.
type dockerImage struct {
	Comment         string       `json:"comment"`
	Container       string       `json:"container"`
	ContainerConfig DockerConfig `json:"container_config"`
	DockerVersion   string       `json:"docker_version"`
	Config          DockerConfig `json:"config"`
}

func inspectImage(ctx context.Context, st *store.Store, name string, p *ocispec.Platform) (*ImageObject, error) {
	img, err := resolveFor(ctx, st, name, p)
	if err != nil {
		return nil, err
	}
	var more dockerImage
	if err := json.Unmarshal(img.RawConfig, &more); err != nil {
		return nil, fmt.Errorf("image %s: config: %w", img.ID, err)
	}
	c := img.Config
	return &ImageObject{
		ID: img.ID, RepoTags: list(img.Names), RepoDigests: list(img.Digests), Parent: img.Parent,
		Comment: more.Comment, Created: img.Created.Format(time.RFC3339Nano),
		Container: more.Container, ContainerConfig: more.ContainerConfig, DockerVersion: more.DockerVersion,
		Author: c.Author, Config: more.Config,
		Architecture: c.Architecture, Variant: c.Variant, Os: c.OS, OsVersion: c.OSVersion,
		Size: img.Size, VirtualSize: img.Size,
		GraphDriver: packed(st.ChainPaths(c.RootFS.DiffIDs)),
		RootFS:      RootFS{Type: "layers", Layers: c.RootFS.DiffIDs},
		Metadata:    Metadata{LastTagTime: img.Tagged},
	}, nil
}

// list is never null in JSON.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
