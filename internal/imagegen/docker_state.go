package imagegen

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// DockerNow is when Docker listed the images of [DockerState].
var DockerNow = time.Date(2026, 11, 23, 2, 32, 35, 900_000_000, time.UTC)

// DockerState is the images that a Docker 20.10 had whose output the tests hold
// cfs's against: some that were loaded, and what it built of them with every
// instruction of a Dockerfile, intermediate images included. They are keyed by
// what tests call them; the intermediate ones of "demo1" are "demo1-1" to
// "demo1-16". The two large ones have a thousandth of their size.
func DockerState() map[string]Image {
	s := dockerState{}
	s.loaded("bb", []string{"127.0.0.1:5000/team/bb:1.0", "bb:1", "bb:2", "test/busybox:latest"},
		[]string{"ADD busybox.tar /", `CMD ["sh"]`}, 1_982_411)
	s.loaded("dev", []string{"test/dev:latest"}, []string{"ADD debian.tar /", "ADD tools.tar /"}, 164_000, 646_800)
	s.loaded("debian", []string{"test/debian:latest"}, []string{"ADD debian.tar /"}, 164_000)
	sizes := []int{1_982_411}
	steps := []string{"ADD busybox.tar /"}
	for i := range 60 {
		sizes = append(sizes, []int{2100 - 37*(56-i), 2130, 2170, 2210}[max(i-56, 0)])
		steps = append(steps, fmt.Sprint("RUN step ", i))
	}
	s.loaded("layers60", []string{"test/layers60:latest"}, steps, sizes...)

	s.demo("old", "", 10)
	s.build("multi1", "bb", 6*time.Second, "/bin/sh -c echo x > /x", nil, Layer{File("x", "x\n")})
	s.build("multi", "bb", 6*time.Second+time.Millisecond, "/bin/sh -c #(nop) COPY file:0 in /y ", nil, Layer{File("y", "x\n")})
	s.name("multi1", "multi1:latest")
	s.name("multi", "multi:latest")
	s.build("failed", "bb", 4*time.Second, "/bin/sh -c #(nop)  LABEL l=1", func(c *dockerRun) { c.Labels["l"] = "1" }, nil)
	s.demo("demo1", "", 0, "demo:1")
	s.demo("demo2", "demo1-2", 5, "demo:2") // its first steps were in the cache
	s.build("child-1", "demo1", time.Second+time.Millisecond, "/bin/sh -c echo onbuild", func(c *dockerRun) { c.OnBuild = nil }, nil)
	s.build("child", "child-1", time.Second, "/bin/sh -c echo child", nil, nil)
	s.name("child", "child:latest")
	s.build("stdin", "bb", 0, "/bin/sh -c #(nop)  LABEL via=stdin", func(c *dockerRun) { c.Labels["via"] = "stdin" }, nil)
	return s
}

// DockerLayout is [DockerState] in an order that an OCI layout can have them in.
func DockerLayout() []Image {
	s := DockerState()
	var out []Image
	for _, key := range slices.Sorted(maps.Keys(s)) {
		out = append(out, s[key])
	}
	return out
}

type dockerState map[string]Image

// dockerRun is how Docker writes a container's config.
type dockerRun struct {
	Hostname, Domainname, User              string
	AttachStdin, AttachStdout, AttachStderr bool
	ExposedPorts                            map[string]struct{} `json:",omitempty"`
	Tty, OpenStdin, StdinOnce               bool
	Env, Cmd                                []string
	Healthcheck                             *struct{ Test []string } `json:",omitempty"`
	Image                                   string
	Volumes                                 map[string]struct{}
	WorkingDir                              string
	Entrypoint, OnBuild                     []string
	Labels                                  map[string]string
	StopSignal                              string `json:",omitempty"`
}

// dockerConfig is how Docker writes an image's config.
type dockerConfig struct {
	Architecture    string            `json:"architecture"`
	Author          string            `json:"author,omitempty"`
	Config          dockerRun         `json:"config"`
	Container       string            `json:"container,omitempty"`
	ContainerConfig *dockerRun        `json:"container_config,omitempty"`
	Created         time.Time         `json:"created"`
	DockerVersion   string            `json:"docker_version,omitempty"`
	History         []ocispec.History `json:"history"`
	OS              string            `json:"os"`
	RootFS          ocispec.RootFS    `json:"rootfs"`
}

// loaded is an image as it came, with a layer of so many bytes a step; steps
// beyond the sizes have none.
func (s dockerState) loaded(key string, names, steps []string, sizes ...int) {
	created := epoch.UTC()
	c := dockerConfig{
		Architecture: "amd64", OS: "linux", Author: "ct-anchors", Created: created, RootFS: ocispec.RootFS{Type: "layers"},
		Config: dockerRun{
			Env: []string{"PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Cmd: []string{"sh"}, WorkingDir: "/",
		},
	}
	img := Image{Names: names}
	for i, step := range steps {
		h := ocispec.History{Created: &created, CreatedBy: step, EmptyLayer: i >= len(sizes)}
		if !h.EmptyLayer {
			tar := Layer{File(fmt.Sprint("f", i), strings.Repeat("\x00", sizes[i]))}.Tar()
			img.Tars = append(img.Tars, tar)
			c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(tar))
		}
		c.History = append(c.History, h)
	}
	img.RawConfig = mustJSON(c)
	s[key] = img
}

func (s dockerState) name(key, name string) {
	img := s[key]
	img.Names = append(img.Names, name)
	s[key] = img
}

// build is a step on an image, made so long before [DockerNow]: a layer, or nil
// for a step that changes the config alone.
func (s dockerState) build(key, from string, ago time.Duration, by string, change func(*dockerRun), layer Layer) {
	base := s[from]
	var c dockerConfig
	if err := json.Unmarshal(base.RawConfig, &c); err != nil {
		panic(err) // this file wrote it
	}
	c.Created, c.Author, c.DockerVersion = DockerNow.Add(-ago), "", "20.10.24+dfsg1"
	c.Container = digest.FromString(key).Encoded()
	c.Config.Image = string(base.ID())
	if c.Config.Labels == nil {
		c.Config.Labels = map[string]string{}
	}
	if change != nil {
		change(&c.Config)
	}
	run := c.Config
	run.Hostname, run.Cmd = c.Container[:12], []string{"/bin/sh", "-c"}
	rest := strings.TrimPrefix(by, "/bin/sh -c ")
	if nop, ok := strings.CutPrefix(rest, "#(nop)  "); ok {
		run.Cmd, rest = append(run.Cmd, "#(nop) "), nop
	}
	run.Cmd = append(run.Cmd, rest)
	c.ContainerConfig = &run
	c.History = append(c.History, ocispec.History{Created: &c.Created, CreatedBy: by, EmptyLayer: layer == nil})
	img := Image{Parent: base.ID(), Tars: base.Tars}
	if layer != nil {
		tar := layer.Tar()
		img.Tars = append(slices.Clone(base.Tars), tar)
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(tar))
	}
	img.RawConfig = mustJSON(c)
	s[key] = img
}

// demo is a Dockerfile that has every instruction, built so many seconds earlier
// than the one that was built last. The first two steps may be those of another
// build. No two builds have a layer in common, as files have the time of theirs.
func (s dockerState) demo(key, cached string, earlier int, names ...string) {
	const nop = "/bin/sh -c #(nop) "
	n, from := 0, "bb"
	step := func(ago int, by string, change func(*dockerRun), layer Layer) {
		if n++; n <= 2 && cached != "" {
			from = cached
			return
		}
		name := fmt.Sprint(key, "-", n)
		if strings.Contains(by, "ONBUILD") {
			name = key
		}
		at := time.Duration(ago+earlier)*time.Second + time.Duration(20-n)*time.Millisecond
		s.build(name, from, at, by, change, layer)
		from = name
	}
	when := Time(DockerNow.Unix()-int64(earlier), 0)
	step(11, nop+" ARG VER=1", nil, nil)
	step(11, nop+" LABEL maintainer=me kind=demo", func(c *dockerRun) { c.Labels["maintainer"], c.Labels["kind"] = "me", "demo" }, nil)
	step(3, nop+" ENV FOO=bar VER=1", func(c *dockerRun) { c.Env = append(c.Env, "FOO=bar", "VER=1") }, nil)
	step(3, "/bin/sh -c echo run1 > /r1 && echo to-stdout && echo to-stderr >&2", nil, Layer{File("r1", "run1\n", when)})
	step(3, nop+"WORKDIR /srv ", func(c *dockerRun) { c.WorkingDir = "/srv" }, Layer{Dir("srv", when)})
	step(3, nop+"COPY multi:a31d535cf877ec4ed34f11a7449b2f6c01432ace251422f3e14b28babfad35f9 in ./ ", nil,
		Layer{File("srv/a.txt", "hello\n", when), File("srv/b", "b\n", when)})
	step(3, nop+"ADD file:679c43c79a56cffbb3b002bda3050542c152a2f09757a0f1a9578871f7cda00d in /added/ ", nil,
		Layer{Dir("added", when), File("added/a.txt", "hello\n", when)})
	step(2, "/bin/sh -c rm /r1", nil, Layer{Whiteout("", "r1")})
	step(2, nop+" USER nobody", func(c *dockerRun) { c.User = "nobody" }, nil)
	step(2, nop+" EXPOSE 80/tcp", func(c *dockerRun) { c.ExposedPorts = map[string]struct{}{"80/tcp": {}} }, nil)
	step(2, nop+" VOLUME [/vol]", func(c *dockerRun) { c.Volumes = map[string]struct{}{"/vol": {}} }, nil)
	step(2, nop+` HEALTHCHECK &{["CMD-SHELL" "true"] "0s" "0s" "0s" '\x00'}`,
		func(c *dockerRun) { c.Healthcheck = &struct{ Test []string }{[]string{"CMD-SHELL", "true"}} }, nil)
	step(2, nop+" STOPSIGNAL SIGINT", func(c *dockerRun) { c.StopSignal = "SIGINT" }, nil)
	step(2, nop+` ENTRYPOINT ["/bin/echo"]`, func(c *dockerRun) { c.Entrypoint, c.Cmd = []string{"/bin/echo"}, nil }, nil)
	step(2, nop+` CMD ["hi"]`, func(c *dockerRun) { c.Cmd = []string{"hi"} }, nil)
	step(2, nop+" ONBUILD RUN echo onbuild", func(c *dockerRun) { c.OnBuild = []string{"RUN echo onbuild"} }, nil)
	for _, name := range names {
		s.name(key, name)
	}
}
