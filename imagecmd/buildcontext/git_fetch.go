package buildcontext

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
)

// A checkout is a repository that was fetched below a directory of its own.
type checkout struct {
	git Git
	dir string
	env []string
}

// fetchGit fetches what g names below temp, as a source named name. Modes are 0755 and 0644, whatever the
// host's umask (docs.docker.com/reference/dockerfile, "Adding files from a Git repository").
func (f *Fetch) fetchGit(ctx context.Context, name string, g Git, temp string, keepGit bool) (src *Source, err error) {
	env, err := f.gitEnv(g.Remote)
	if err != nil {
		return nil, fmt.Errorf("git repository %s: %w", g, err)
	}
	dir, err := os.MkdirTemp(temp, "git-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if src == nil {
			os.RemoveAll(dir)
		}
	}()
	c := checkout{git: g, dir: dir, env: env}
	commit, err := c.fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("git repository %s: %w", g, err)
	}
	if !strings.HasPrefix(commit, g.Checksum) {
		return nil, fmt.Errorf("git repository %s: expected checksum to match %s, got %s", g, g.Checksum, commit)
	}
	var mtime *int64
	if g.CommitTime {
		t, err := c.run(ctx, "show", "-s", "--format=%ct", commit)
		if err != nil {
			return nil, err
		}
		sec, err := strconv.ParseInt(t, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("git repository %s: the time of commit %s: %w", g, commit, err)
		}
		mtime = &sec
	}
	if !keepGit {
		if err := c.removeGit(); err != nil {
			return nil, err
		}
	}
	return c.source(name, mtime)
}

// localGit are the variables that say which repository git works on (`git rev-parse
// --local-env-vars`): whoever calls us from within one, as a hook does, has them set. Those
// that only configure stay, as credentials may come by them.
var localGit = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_OBJECT_DIRECTORY",
	"GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
	"GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_INTERNAL_SUPER_PREFIX",
}

// plainGitEnv is the environment in which git asks nothing, and takes only what Docker does as a repository.
func plainGitEnv(env []string) []string {
	var out []string
	for _, e := range env {
		if name, _, _ := strings.Cut(e, "="); !slices.Contains(localGit, name) {
			out = append(out, e)
		}
	}
	return append(out, "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=git:ssh:http:https")
}

func (c *checkout) run(ctx context.Context, args ...string) (string, error) {
	// Nothing of the repository is run: no hook, and no monitor of the file system.
	fixed := []string{"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false", "-c", "protocol.version=2"}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...)
	var out, talk bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, c.env, &out, &talk
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return "", hint.With(err, "install git: repositories are fetched by it")
	case err != nil:
		err = fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(talk.String()))
		if strings.Contains(talk.String(), "terminal prompts disabled") { // it would ask for a name and a password
			err = hint.With(err, "credentials are given by --secret id=GIT_AUTH_TOKEN, see 'cfs build --help'")
		}
		return "", err
	}
	return strings.TrimSpace(out.String()), nil
}

// fetch checks out what is asked for, and tells its commit.
func (c *checkout) fetch(ctx context.Context) (string, error) {
	if _, err := c.run(ctx, "init", "--quiet", "."); err != nil {
		return "", err
	}
	if _, err := c.run(ctx, "remote", "add", "--", "origin", c.git.Remote); err != nil {
		return "", err
	}
	ref := c.git.Ref
	if ref == "" {
		ref = "HEAD"
	}
	at := "FETCH_HEAD"
	err := c.shallow(ctx, "fetch", "--quiet", "--no-tags", "--depth=1", "--end-of-options", "origin", ref)
	if err != nil && commitRegexp().MatchString(ref) && ctx.Err() == nil {
		// The commit's name is abbreviated, or the server serves only those that refs name.
		at = ref
		_, err = c.run(ctx, "fetch", "--quiet", "--tags", "--end-of-options", "origin", "+refs/heads/*:refs/remotes/origin/*")
	}
	if err != nil {
		return "", err
	}
	commit, err := c.run(ctx, "rev-parse", "--verify", "--end-of-options", at+"^{commit}")
	if err != nil {
		return "", err
	}
	if _, err := c.run(ctx, "checkout", "--quiet", "--force", "--detach", commit); err != nil {
		return "", err
	}
	if c.git.NoModules {
		return commit, nil
	}
	if _, err := os.Lstat(filepath.Join(c.dir, ".gitmodules")); err != nil {
		return commit, nil
	}
	return commit, c.shallow(ctx, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
}

// shallow runs git with --depth=1 among its arguments, or without where the server only has files, and so gives
// all or nothing.
func (c *checkout) shallow(ctx context.Context, args ...string) error {
	_, err := c.run(ctx, args...)
	if err != nil && strings.Contains(err.Error(), "shallow") {
		_, err = c.run(ctx, slices.DeleteFunc(args, func(a string) bool { return a == "--depth=1" })...)
	}
	return err
}

// removeGit removes what git keeps for itself, of submodules too.
func (c *checkout) removeGit() error {
	var found []string
	err := filepath.WalkDir(c.dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != ".git" {
			return err
		}
		found = append(found, p)
		if d.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
	for _, p := range found {
		err = errors.Join(err, os.RemoveAll(p))
	}
	return err
}

// source is the directory of the repository that counts, as a source that removes it when it is closed.
func (c *checkout) source(name string, mtime *int64) (*Source, error) {
	t, err := openDirTree(c.dir)
	if err != nil {
		return nil, err
	}
	if c.git.Dir != "" {
		o, at, err := find(t, "/"+c.git.Dir)
		if err == nil && !o.isDir() {
			err = fmt.Errorf("%s: %w", c.git.Dir, unix.ENOTDIR)
		}
		t.close()
		if err != nil {
			return nil, fmt.Errorf("git repository %s: subdir: %w", c.git, err)
		}
		if t, err = openDirTree(filepath.Join(c.dir, filepath.FromSlash(at))); err != nil {
			return nil, err
		}
	}
	return &Source{
		name: name, what: contextWords, tree: t,
		mend:   func(o *object) { gitAttr(o, mtime) },
		closes: []func() error{func() error { return os.RemoveAll(c.dir) }},
	}, nil
}

// gitAttr gives o the attributes that a file of a repository has.
func gitAttr(o *object, mtime *int64) {
	typ, perm := o.attr.Mode&unix.S_IFMT, o.attr.Mode&0o777
	switch {
	case typ == unix.S_IFDIR, typ == unix.S_IFREG && perm&0o100 != 0:
		perm = 0o755
	case typ == unix.S_IFREG:
		perm = 0o644
	}
	o.attr.Mode = typ | perm
	if mtime != nil {
		o.attr.Mtime, o.attr.MtimeNsec = *mtime, 0
	}
}
