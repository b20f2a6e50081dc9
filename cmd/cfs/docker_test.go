package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/cfs-project/cfs/imagecmd"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/imagegen"
)

// dockerMain is cfs by the name of docker, at the time of the transcripts.
func dockerMain() {
	os.Exit(run(os.Args, &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: imagegen.DockerNow}))
}

// TestDocker does what a real Docker was asked, from its state of images, and
// wants what it printed: testdata/docker has the commands with their output,
// standard error and exit status. Other than in what was recorded there
//
//   - IDs are written %KEY for the short one of an image of
//     [imagegen.DockerState], %@KEY with the algorithm, %#KEY without it, %^KEY for
//     the chain ID of all its layers, %~KEY for the diff ID of the last, and
//     %container-NAME;
//   - ages are those of one moment, and rows of the same second in cfs's order;
//   - "Error response from daemon: " and "Error: " are "cfs: ", as there is no daemon.
//
// Containers are made without running anything: `docker create` and `docker run
// -d` make one that is not, or is, held as a running one is.
func TestDocker(t *testing.T) {
	files, err := filepath.Glob("testdata/docker/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d := newDocker(t)
			for _, entry := range strings.Split("\n"+string(text), "\n$ ")[1:] {
				d.check(t, "$ "+strings.TrimRight(entry, "\n")+"\n")
			}
		})
	}
}

// A docker is a store in the state of the transcripts.
type docker struct {
	root   string
	st     *store.Store
	images map[string]imagegen.Image
	held   map[string]func() // containers that run, by name
	ids    map[string]string // of containers, by name
}

func newDocker(t *testing.T) *docker {
	d := &docker{root: t.TempDir(), images: imagegen.DockerState(), held: map[string]func(){}, ids: map[string]string{}}
	st, err := store.Open(d.root, store.Options{})
	if err == nil {
		err = packDockerState(context.Background(), st)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.st = st
	t.Cleanup(func() {
		for _, release := range d.held {
			release()
		}
	})
	return d
}

// packDockerState puts the images of the transcripts into a store.
func packDockerState(ctx context.Context, st *store.Store) error {
	if err := imagegen.WriteOCILayout(st.LayoutDir(), imagegen.DockerLayout()...); err != nil {
		return err
	}
	images, err := st.Images(ctx)
	if err != nil {
		return err
	}
	for _, img := range images {
		_, release, err := st.Chain(ctx, img)
		if err != nil {
			return err
		}
		release()
	}
	return nil
}

var dockerWords = regexp.MustCompile(`(?m)^(Error response from daemon|Error): `)

// check runs the command of an entry and compares the entry.
func (d *docker) check(t *testing.T, entry string) {
	t.Helper()
	head, want, _ := strings.Cut(entry, "\n")
	line := strings.TrimSpace(d.ids12(strings.TrimPrefix(head, "$ ")))
	got, err := d.run(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	// Whatever has none of Docker's prefixes still has cfs's.
	if out, stderr, ok := strings.Cut(want, "[stderr]\n"); ok {
		stderr = dockerWords.ReplaceAllString(stderr, "")
		want = out + "[stderr]\n" + stderr
	}
	if diff := cmp.Diff(d.ids12(want), got); diff != "" {
		t.Errorf("%s\n-docker +cfs:\n%s", line, diff)
	}
}

// run is what a command prints, in the form of an entry without its first line.
func (d *docker) run(line string) (string, error) {
	words := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, "docker create --name "):
		return d.create(words[3], words[4], false)
	case strings.HasPrefix(line, "docker run -d --name "):
		return d.create(words[4], words[5], true)
	}
	if strings.HasPrefix(line, "docker rm -f ") {
		for _, name := range words[3:] {
			if release := d.held[name]; release != nil {
				release()
			}
		}
		line = "docker rm " + strings.Join(words[3:], " ")
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = append(os.Environ(), "CFS_ROOT="+d.root, "TZ=UTC")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	status := 0
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		return "", err
	}
	said := strings.ReplaceAll("\n"+stderr.String(), "\ncfs: ", "\n")[1:]
	if said != "" {
		said = "[stderr]\n" + said
	}
	out := strings.ReplaceAll(stdout.String(), d.root, "$CFS_ROOT")
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	return out + said + fmt.Sprintf("[exit %d]\n", status), nil
}

// create makes a container; running, it is held until `docker rm -f`.
func (d *docker) create(name, image string, running bool) (string, error) {
	ctx := context.Background()
	img, err := d.st.Resolve(ctx, image)
	if err != nil {
		return "", err
	}
	id := digest.FromString(name).Encoded()
	state := imagecmd.State{Started: imagegen.DockerNow.Add(-17 * time.Second)}
	if !running {
		state.Finished = imagegen.DockerNow.Add(-5 * time.Second)
	}
	if err := os.MkdirAll(d.st.ContainerDir(id), 0o700); err != nil {
		return "", err
	}
	for file, content := range map[string]any{"state.json": state, "config.json": imagecmd.Container{
		ID: id, Name: name, Image: image, ImageID: img.ID, Layers: img.Config.RootFS.DiffIDs,
		Command: []string{"sleep", "1000"}, Created: imagegen.DockerNow.Add(-25*time.Second + time.Duration(len(d.ids)+1)*time.Millisecond),
	}} {
		raw, err := json.Marshal(content)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(d.st.ContainerDir(id), file), raw, 0o600); err != nil {
			return "", err
		}
	}
	d.ids[name] = id
	if running {
		if d.held[name], err = d.st.HoldContainer(ctx, id); err != nil {
			return "", err
		}
	}
	return id + "\n[exit 0]\n", nil
}

var idWord = regexp.MustCompile(`%[#@^~]?[a-z][a-z0-9-]* *`)

// ids12 replaces the words for IDs. Blanks behind one make up for its length, so
// that columns look in the transcripts as they do on a screen.
func (d *docker) ids12(text string) string {
	return idWord.ReplaceAllStringFunc(text, func(word string) string {
		key := strings.Trim(word, "%#@^~ ")
		if name, ok := strings.CutPrefix(key, "container-"); ok {
			if strings.HasPrefix(word, "%#") {
				return d.ids[name] + word[len("%#")+len(key):]
			}
			return d.ids[name][:12] + word[1+len(key):]
		}
		img, ok := d.images[key]
		if !ok {
			return word
		}
		id := img.ID().Encoded()[:12]
		switch word[1] {
		case '#':
			id = img.ID().Encoded()
		case '@':
			id = string(img.ID())
		case '^':
			var diffIDs []digest.Digest
			for _, tar := range img.Tars {
				diffIDs = append(diffIDs, digest.FromBytes(tar))
			}
			id = string(identity.ChainID(diffIDs))
		case '~':
			id = string(digest.FromBytes(img.Tars[len(img.Tars)-1]))
		}
		blanks := strings.Count(word, " ")
		if blanks > 1 {
			blanks = max(len(word)-len(id), 3)
		}
		return id + strings.Repeat(" ", blanks)
	})
}
