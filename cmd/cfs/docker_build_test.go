package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDockerBuild builds what a real Docker (20.10, its classic builder) was asked to build, in
// the same order in one store, and wants what it printed: testdata/docker_build/build.txt.
// Other than in what was recorded there
//
//   - IDs are numbered as they appear, in both: what is new, what is found in the
//     cache and what is the same image must be the same;
//   - "Sending build context to Docker daemon" is not there, as nothing is sent;
//   - "Error response from daemon: " is "cfs: ", and hints are left out.
func TestDockerBuild(t *testing.T) {
	text, err := os.ReadFile("testdata/docker_build/build.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	prepareDockerBuild(t, dir)
	var want, got bytes.Buffer
	for _, entry := range strings.Split("\n"+string(text), "\n$ ")[1:] {
		line, said, _ := strings.Cut(entry, "\n")
		fmt.Fprintf(&want, "$ %s\n%s\n", line, strings.TrimRight(strings.ReplaceAll(said, "$WORK", dir), "\n"))
		fmt.Fprintf(&got, "$ %s\n%s\n", line, dockerBuild(t, dir, line))
	}
	stderr := regexp.MustCompile(`(?m)^(Error response from daemon|Error): `)
	if diff := cmp.Diff(numbered(stderr.ReplaceAllString(want.String(), "")), numbered(got.String())); diff != "" {
		t.Errorf("-docker +cfs:\n%s", diff)
	}
}

// prepareDockerBuild makes the context of the transcript, and the images in it.
func prepareDockerBuild(t *testing.T, dir string) {
	for name, content := range map[string]string{
		"a.txt": "a\n", "sub/b.txt": "b\n",
		"Dockerfile": `FROM test/busybox:latest AS base
ARG VER=1
LABEL maintainer="me" kind=demo
ENV FOO=bar VER=$VER
RUN echo run1 > /r1 && echo to-stdout && echo to-stderr >&2
WORKDIR /srv
COPY a.txt sub ./
ADD a.txt /added/
RUN rm /r1
USER nobody
EXPOSE 80/tcp
VOLUME /vol
HEALTHCHECK CMD true
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/echo"]
CMD ["hi"]
ONBUILD RUN echo onbuild
`,
		"Dockerfile.multi": "FROM bb:1 AS one\nRUN echo x > /x\nFROM bb:1\nCOPY --from=one /x /y\n", "Dockerfile.fail": "FROM bb:1\nRUN false\n",
		"Dockerfile.typo": "FROM bb:1\nRNU false\n", "Dockerfile.nocopy": "FROM bb:1\nCOPY nosuch /\n", "Dockerfile.outside": "FROM bb:1\nCOPY ../x /\n",
		"Dockerfile.nofrom": "RUN true\n", "Dockerfile.empty": "",
	} {
		path := filepath.Join(dir, "dk/b", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tar, err := busyboxRoot()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "box.tar"), tar, 0o644); err != nil {
		t.Fatal(err)
	}
	dockerBuild(t, dir, "docker import -c 'CMD [\"sh\"]' box.tar test/busybox:latest; docker tag test/busybox:latest bb:1")
}

// dockerBuild is what a command line prints, in the form of the transcript.
func dockerBuild(t *testing.T, dir, line string) string {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CFS_ROOT="+filepath.Join(dir, "store"), "NO_COLOR=")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	status := 0
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	out := stdout.String()
	said := strings.ReplaceAll("\n"+stderr.String(), "\ncfs: ", "\n")[1:]
	if said = regexp.MustCompile(`(?m)^hint: .*\n`).ReplaceAllString(said, ""); said != "" {
		said = "[stderr]\n" + said
	}
	return fmt.Sprintf("%s%s[exit %d]", out, said, status)
}

// numbered puts numbers in the place of IDs; a long one has that of its beginning.
func numbered(text string) string {
	ids := map[string]string{}
	return regexp.MustCompile(`\b(sha256:[0-9a-f]{64}|[0-9a-f]{12})\b`).ReplaceAllStringFunc(text, func(id string) string {
		long, short := "", id
		if rest, ok := strings.CutPrefix(id, "sha256:"); ok {
			long, short = "sha256:", rest[:12]
		}
		if ids[short] == "" {
			ids[short] = fmt.Sprintf("#%d", len(ids)+1)
		}
		return long + ids[short]
	})
}
