package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
)

// A buildLab is a store with a base image, and a context.
type buildLab struct {
	t   *testing.T
	dir string
}

func newBuildLab(t *testing.T) *buildLab {
	l := &buildLab{t, t.TempDir()}
	tar, err := busyboxRoot()
	if err != nil {
		t.Fatal(err)
	}
	l.write("box.tar", string(tar))
	l.run("docker import -c 'ENV PATH=/bin' box.tar base:1")
	return l
}

func (l *buildLab) write(name, content string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// run is what a command line prints; it must succeed.
func (l *buildLab) run(line string) string {
	l.t.Helper()
	out := dockerBuild(l.t, l.dir, line)
	if !strings.HasSuffix(out, "[exit 0]") {
		l.t.Fatalf("%s:\n%s", line, out)
	}
	return out
}

var stepLine = regexp.MustCompile(`^Step \d+/\d+ : (\w+)`)

// anew are the steps that a build's output says were done, and not found.
func anew(out string) string {
	var steps []string
	lines := strings.Split(out, "\n")
	for i, l := range lines {
		m := stepLine.FindStringSubmatch(l)
		if m == nil || m[1] == "FROM" || i+1 < len(lines) && strings.Contains(lines[i+1], "Using cache") {
			continue
		}
		steps = append(steps, m[1])
	}
	return strings.Join(steps, " ")
}

const cacheDockerfile = `FROM base:1 AS first
ARG USED=1
ENV E=${USED}
RUN echo $E > /e
FROM base:1
COPY dir /dir
ARG LATE=2
LABEL l=1
RUN --mount=type=secret,id=s echo $LATE > /late
COPY --from=first /e /e
CMD ["x"]
`

// TestBuildCache changes one thing after the other and wants those steps, and only
// those, to be done anew that Docker does.
func TestBuildCache(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(l *buildLab)
		flags  string
		want   string
	}{
		{"nothing", func(*buildLab) {}, "", ""},
		{"a file's time", func(l *buildLab) { l.run("touch -d 2001-01-01 ctx/dir/a") }, "", ""},
		{"a file's content", func(l *buildLab) { l.write("ctx/dir/a", "b") }, "", "COPY ARG LABEL RUN COPY CMD"},
		{"a file's content, of the same size and time", func(l *buildLab) {
			l.run("touch -r ctx/dir/a ref; printf A > ctx/dir/a; touch -r ref ctx/dir/a")
		}, "", "COPY ARG LABEL RUN COPY CMD"},
		{"a file's mode", func(l *buildLab) { l.run("chmod 600 ctx/dir/a") }, "", "COPY ARG LABEL RUN COPY CMD"},
		{"a new file", func(l *buildLab) { l.write("ctx/dir/new", "") }, "", "COPY ARG LABEL RUN COPY CMD"},
		{"a file's name", func(l *buildLab) { l.run("mv ctx/dir/a ctx/dir/z") }, "", "COPY ARG LABEL RUN COPY CMD"},
		{"a file that is ignored", func(l *buildLab) { l.write("ctx/dir/ignored", "changed") }, "", ""},
		{"a file that isn't copied", func(l *buildLab) { l.write("ctx/other", "changed") }, "", ""},
		{"an argument that isn't declared", func(*buildLab) {}, "--build-arg UNKNOWN=1", ""},
		{"an argument that is used", func(*buildLab) {}, "--build-arg USED=9", "ENV RUN COPY CMD"},
		{"an argument that a RUN only sees", func(*buildLab) {}, "--build-arg LATE=9", "RUN COPY CMD"},
		{"an argument with the value it has", func(*buildLab) {}, "--build-arg LATE=2 --build-arg USED=1", ""},
		{"a proxy", func(*buildLab) {}, "--build-arg HTTP_PROXY=http://p", ""},
		{"a secret", func(l *buildLab) { l.write("secret", "changed") }, "--secret id=s,src=secret", ""},
		{"the environment", func(l *buildLab) { l.edit("ENV E=${USED}", "ENV E=${USED}x") }, "", "ENV RUN COPY CMD"},
		{"a command", func(l *buildLab) { l.edit("echo $LATE", "echo  $LATE") }, "", "RUN COPY CMD"},
		{"a comment", func(l *buildLab) { l.edit("LABEL", "# new\nLABEL") }, "", ""},
		{"a label", func(l *buildLab) { l.edit("l=1", "l=2") }, "", "LABEL RUN COPY CMD"},
		{"the base image", func(l *buildLab) { l.run("docker import -c 'ENV PATH=/bin:/x' box.tar base:1") }, "", "ARG ENV RUN COPY ARG LABEL RUN COPY CMD"},
		{"no cache", func(*buildLab) {}, "--no-cache", "ARG ENV RUN COPY ARG LABEL RUN COPY CMD"},
		{"a target's label", func(*buildLab) {}, "--label n=1", "LABEL"},
		{"another network", func(l *buildLab) { l.edit("RUN --mount", "RUN --network=none --mount") }, "", "RUN COPY CMD"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := newBuildLab(t)
			l.write("ctx/Dockerfile", cacheDockerfile)
			l.write("ctx/.dockerignore", "**/ignored\n")
			l.write("ctx/dir/a", "a")
			l.write("ctx/dir/ignored", "")
			l.write("ctx/other", "")
			l.write("secret", "s")
			l.run("docker build --secret id=s,src=secret ctx")
			tc.change(l)
			if got := anew(l.run("docker build " + tc.flags + " ctx")); got != tc.want {
				t.Errorf("done anew: %q, want %q", got, tc.want)
			}
			if tc.flags == "--no-cache" {
				return
			}
			if got := anew(l.run("docker build " + tc.flags + " ctx")); got != "" {
				t.Errorf("and then: %q", got)
			}
		})
	}
}

// edit changes the Dockerfile.
func (l *buildLab) edit(old, new string) {
	if !strings.Contains(cacheDockerfile, old) {
		l.t.Fatalf("there is no %q", old)
	}
	l.write("ctx/Dockerfile", strings.Replace(cacheDockerfile, old, new, 1))
}

const killDockerfile = `FROM base:1
COPY dir /one
RUN echo two > /two
LABEL three=3
RUN cp -r /one /four
WORKDIR /five
COPY dir ./
RUN cat /two /four/a /five/a > /six
`

// TestBuildKilled kills builds at random moments, with all that they started. The next build
// is right, goes on with what was finished, and nothing of the killed one is left.
func TestBuildKilled(t *testing.T) {
	const labs = 5
	kills := 10 // in each: 50
	if testing.Short() {
		kills = 1
	}
	for i := range labs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			killBuilds(t, kills)
		})
	}
}

func killBuilds(t *testing.T, kills int) {
	l := newBuildLab(t)
	l.write("ctx/Dockerfile", killDockerfile)
	l.write("ctx/dir/a", "a\n")
	began := time.Now()
	l.run("docker build --network none --no-cache ctx")
	whole := time.Since(began)
	random := rand.New(rand.NewPCG(1, uint64(began.UnixNano())))
	done := 0
	for i := range kills {
		l.write("ctx/dir/a", fmt.Sprintf("a%d\n", i)) // all steps from the first COPY on are new
		first := killedBuild(l, time.Duration(random.Int64N(int64(whole))))
		finished := strings.Count(first, "\n ---> ") - strings.Count(first, "Running in") - 1 // FROM's isn't one
		out := l.run("docker build --network none -t killed ctx")
		if found := strings.Count(out, "Using cache"); found < finished {
			t.Errorf("kill %d: %d steps were finished, %d found:\n%s\n%s", i, finished, found, first, out)
		}
		done += finished
		if got := l.run("docker run --rm --network none killed cat /six"); !strings.HasPrefix(got, fmt.Sprintf("two\na%d\na%d\n", i, i)) {
			t.Errorf("kill %d: the image has %q", i, got)
		}
	}
	t.Logf("%d steps of killed builds were finished", done)
	if out := l.run("docker ps -aq"); out != "[exit 0]" {
		t.Errorf("containers are left: %s", out)
	}
	if out := l.run("docker fsck"); !strings.Contains(out, "no damage") {
		t.Error(out)
	}
}

// killedBuild is what a build printed until it was killed after some time.
func killedBuild(l *buildLab, after time.Duration) string {
	var out bytes.Buffer
	cmd := exec.Command("docker", "build", "--network", "none", "ctx")
	cmd.Dir, cmd.Env = l.dir, append(os.Environ(), "CFS_ROOT="+filepath.Join(l.dir, "store"))
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	time.Sleep(after)
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	_ = cmd.Wait()
	return out.String()
}

// TestBuildsAtOnce: builds of one file at once all succeed, and each step is done by one of them.
func TestBuildsAtOnce(t *testing.T) {
	l := newBuildLab(t)
	l.write("ctx/Dockerfile", killDockerfile)
	l.write("ctx/dir/a", "a\n")
	var wg sync.WaitGroup
	outs := make([]string, 3)
	for i := range outs {
		wg.Go(func() { outs[i] = dockerBuild(t, l.dir, fmt.Sprintf("docker build -t at:%d ctx", i)) })
	}
	wg.Wait()
	steps := 0
	ids := map[string]bool{}
	for _, out := range outs {
		if !strings.HasSuffix(out, "[exit 0]") {
			t.Fatal(out)
		}
		steps += len(strings.Fields(anew(out)))
		ids[regexp.MustCompile(`Successfully built (\w+)`).FindString(out)] = true
	}
	if steps != 7 || len(ids) != 1 {
		t.Errorf("%d steps were done for %d images; want 7 for 1:\n%s", steps, len(ids), strings.Join(outs, "\n"))
	}
}

// TestBuildUsers builds as root and as ordinary users, with sub-uids and without: owners
// in layers that nothing ran for are everybody's to say, those of a RUN need the sub-uids.
// With SOURCE_DATE_EPOCH a second store has the same image.
func TestBuildUsers(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		p := newPerson(t, "SOURCE_DATE_EPOCH=1700000000")
		tar, err := busyboxRoot()
		if err != nil {
			t.Fatal(err)
		}
		run := "RUN --mount=type=cache,target=/c,uid=7,gid=8 touch /made && chown 1:2 /made && stat -c %u:%g /c > /cache\nUSER guest\nRUN id -u > /tmp/id\n"
		if who == testenv.Single {
			run = "RUN touch /made\n"
		}
		for name, content := range map[string]string{
			"box.tar": string(tar), "ctx/a": "a",
			"ctx/Dockerfile": "FROM base:1\nRUN chmod 1777 /tmp\nCOPY --chown=1000:42 a /a\nUSER guest\nWORKDIR /home/guest\nUSER 0\n" + run,
		} {
			path := filepath.Join(p.dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var ids []string
		for _, root := range []string{"one", "two"} {
			p.must("--root", root, "import", "-c", "ENV PATH=/bin", "box.tar", "base:1")
			ids = append(ids, p.must("--root", root, "build", "-q", "-t", "built", "ctx"))
		}
		if ids[0] != ids[1] {
			t.Errorf("two stores have the images %s and %s", ids[0], ids[1])
		}
		out := p.must("--root", "one", "build", "-q", "-o", "-", "ctx")
		list := exec.Command("tar", "tv", "--numeric-owner")
		list.Stdin = strings.NewReader(out)
		got, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"a": "1000/42", "home/guest/": "1000/1000", "made": "1/2"}
		if who == testenv.Single {
			want["made"] = "0/0"
		}
		for name, owner := range want {
			if !regexp.MustCompile(`(?m)^\S+ ` + owner + ` .* ` + name + `$`).Match(got) {
				t.Errorf("%s isn't %s's", name, owner)
			}
		}
		if who == testenv.Single {
			return
		}
		if out := p.must("--root", "one", "run", "--rm", "built", "cat", "/cache", "/tmp/id"); out != "7:8\n1000" {
			t.Errorf("the cache mount's owner and the user are %q", out)
		}
		p.must("--root", "one", "builder", "prune", "-af")
		if left, _ := filepath.Glob(filepath.Join(p.dir, "one/build/cache/*/[0-9]*")); len(left) > 0 {
			t.Errorf("%q is left", left)
		}
	})
}

// TestBuildAgent: a RUN reaches the agent of --ssh through a socket of its own, and only
// one with the mount.
func TestBuildAgent(t *testing.T) {
	l := newBuildLab(t)
	agent, err := net.Listen("unix", filepath.Join(l.dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	asked := make(chan string, 1)
	go func() {
		c, err := agent.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 64)
		n, _ := c.Read(b)
		asked <- string(b[:n])
		_, _ = c.Write([]byte("answer"))
	}()
	client, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l.run("mkdir ctx; cp " + client + " ctx/client")
	l.write("ctx/Dockerfile", `FROM base:1
COPY client /bin/agent-client
RUN --mount=type=ssh stat -c '%a %F' $SSH_AUTH_SOCK; agent-client
RUN --mount=type=ssh,id=other,target=/a,mode=0666 stat -c '%a %F' /a; echo "at $SSH_AUTH_SOCK"
RUN echo "none $SSH_AUTH_SOCK"
`)
	out := l.run("docker build --ssh default=agent --ssh other=agent ctx")
	for _, want := range []string{"600 socket\nanswer\n", "666 socket\nat /a\n", "none \n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if got := <-asked; got != "question" {
		t.Errorf("the agent was asked %q", got)
	}
}

// agentClient asks the agent of its environment, and prints the answer.
func agentClient() {
	c, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err == nil {
		_, err = c.Write([]byte("question"))
	}
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(c)
	}
	fmt.Println(string(answer))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
