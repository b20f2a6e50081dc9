package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/imagecmd"
)

// TestDockerRun does with containers that run what a real Docker was asked, and wants what
// it printed: testdata/docker_run/containers.txt has the transcript, written as those of
// [TestDocker], and differs.txt what cfs says where it differs on purpose, for reasons that
// DOCKER.md gives. Beside IDs, what depends on when and where it was is compared by its form
// alone: ages, times, process IDs, the sizes of busybox, and the network's name.
func TestDockerRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root for what ps says of sizes and top of users")
	}
	p := newPerson(t, "TZ=UTC")
	// Docker Hub is where nobody answers, as it was for the transcript.
	conf := filepath.Join(p.dir, "registries.conf")
	if err := os.WriteFile(conf, []byte("[[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:1\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "CONTAINERS_REGISTRIES_CONF="+conf)
	tarBusybox(t, filepath.Join(p.dir, "box.tar"))
	image := p.must("import", "-c", "ENV PATH=/bin", "box.tar", "test/busybox:latest")
	if _, err := p.cfs("run", "--name", "competent_dijkstra", image, "/bin/sh", "-c", "false"); err == nil {
		t.Fatal("false is true")
	}
	d := &dockerRun{p: p, names: map[string]string{}}
	defer func() { // what the transcript leaves running
		for _, id := range strings.Fields(p.must("ps", "-aq")) {
			p.must("rm", "-f", id)
		}
	}()
	d.words = append(d.words, image, "%@image", strings.TrimPrefix(image, "sha256:")[:12], "%image")
	differs := map[string]string{}
	for head, text := range readTranscript(t, "testdata/docker_run/differs.txt") {
		differs[head] = text
	}
	for head, want := range readTranscript(t, "testdata/docker_run/containers.txt") {
		t.Run(strings.TrimPrefix(head, "docker "), func(t *testing.T) {
			got := d.run(t, head)
			if own, ok := differs[head]; ok {
				delete(differs, head)
				if form(own) == form(want) {
					t.Error("differs.txt has it, but it is the same")
				}
				want = own
			}
			if d.sameObject(t, want, got) {
				return
			}
			if diff := cmp.Diff(form(want), form(got)); diff != "" {
				t.Errorf("-docker +cfs:\n%s", diff)
			}
		})
	}
	for head := range differs {
		t.Errorf("differs.txt has %q, which nobody asks", head)
	}
}

// readTranscript returns commands with what they printed, in order.
func readTranscript(t *testing.T, path string) func(yield func(head, text string) bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(head, text string) bool) {
		for _, entry := range strings.Split("\n"+string(text), "\n$ ")[1:] {
			head, rest, _ := strings.Cut(entry, "\n")
			if !yield(head, strings.TrimRight(rest, "\n")+"\n") {
				return
			}
		}
	}
}

type dockerRun struct {
	p     person
	names map[string]string // the first names of containers, by ID
	words []string          // what IDs are written as, in pairs
}

// run is what a command prints, as a transcript has it.
func (d *dockerRun) run(t *testing.T, line string) string {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("sh", "-c", "cfs "+strings.TrimPrefix(line, "docker "))
	cmd.Dir = d.p.dir
	cmd.Env = append(d.p.env, "PATH="+filepath.Join(d.p.dir, "bin")+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	status := 0
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	out := stdout.String()
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	if said := strings.ReplaceAll("\n"+stderr.String(), "\ncfs: ", "\n")[1:]; said != "" {
		out += "[stderr]\n" + said
	}
	out += fmt.Sprintf("[exit %d]\n", status)
	all, err := imagecmd.OpenContainers(filepath.Join(d.p.dir, "store")).List()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if d.names[c.ID] == "" {
			d.names[c.ID] = c.Name
			d.words = append(d.words, c.ID, "%#"+c.Name, c.ID[:12], "%"+c.Name)
		}
	}
	return strings.NewReplacer(d.words...).Replace(out)
}

// forms are what stands for what differs from run to run.
var forms = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`(?m)^(docker: )?(Error response from daemon|Error): `), ""},
	{regexp.MustCompile(`(?m)^docker: `), ""},
	{regexp.MustCompile(`(Less than a second|About a minute|\d+ (seconds?|minutes?))`), "AGE"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC`), "DATE"},
	{regexp.MustCompile(`\(virtual [0-9.]+MB\)`), "(virtual SIZE)"},
	{regexp.MustCompile(`(?m)^(root +)\d+ +\d+ +\d+ +\S+ +\? +\S+ +`), "root PID PPID C STIME ? TIME "},
	{regexp.MustCompile(`(?m)^(\S+ +\S+) +[0-9.]+% +[0-9.]+([KMGT]i)?B / [0-9.]+[KMGT]iB +[0-9.]+% +[0-9.]+[kMGT]?B / [0-9.]+[kMGT]?B +[0-9.]+[kMGT]?B / [0-9.]+[kMGT]?B +(\d+)$`), "$1   CPU   MEMORY   NET   BLOCK   $3"},
	{regexp.MustCompile(`root/root +\d+ \S+ \S+ `), "root/root SIZE DATE "},
	{regexp.MustCompile(`\b(bridge|host|default) (created|running|exited)`), "NETWORK $2"},
	{regexp.MustCompile(`(?m)dial tcp 127.*$`), "dial tcp: REASON"},
	{regexp.MustCompile(`(?m) +$`), ""},
	{regexp.MustCompile(`   +`), "   "},
}

func form(text string) string {
	for _, f := range forms {
		text = f.re.ReplaceAllString(text, f.to)
	}
	return text
}

// ownValues are the parts of an inspected container that are cfs's own, or of one run.
var ownValues = []string{
	".Created", ".State.StartedAt", ".State.FinishedAt", ".ResolvConfPath", ".HostnamePath", ".HostsPath", ".LogPath", ".Driver", ".GraphDriver",
	".HostConfig.NetworkMode", ".HostConfig.CgroupnsMode", ".HostConfig.Runtime", ".HostConfig.MaskedPaths", ".Config.Hostname", ".Config.Env", ".NetworkSettings",
}

// sameObject compares objects by their values, if want is JSON: cfs has all that Docker
// has. False: it is not.
func (d *dockerRun) sameObject(t *testing.T, want, got string) bool {
	var objects [2][]map[string]any
	for i, text := range []string{want, got} {
		body, _, ok := strings.Cut(text, "\n[exit 0]")
		if !ok || json.Unmarshal([]byte(body), &objects[i]) != nil || len(objects[i]) != 1 {
			return false
		}
	}
	d.compare(t, "", objects[0][0], objects[1][0])
	return true
}

func (d *dockerRun) compare(t *testing.T, at string, want, got map[string]any) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		path := at + "." + k
		w := want[k]
		g, ok := got[k]
		switch {
		case !ok:
			t.Errorf("%s is missing: docker has %v", path, w)
		case slices.Contains(ownValues, path):
			if (w == nil) != (g == nil) || w != nil && reflect.TypeOf(w) != reflect.TypeOf(g) {
				t.Errorf("%s: docker has %T, cfs %T", path, w, g)
			}
		default:
			wm, wok := w.(map[string]any)
			gm, gok := g.(map[string]any)
			if wok && gok {
				d.compare(t, path, wm, gm)
			} else if !reflect.DeepEqual(w, g) {
				t.Errorf("%s: docker has %v, cfs %v", path, w, g)
			}
		}
	}
}
