package buildcontext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	defaultDockerfile = "Dockerfile"
	defaultIgnore     = ".dockerignore"
	maxDockerfile     = 16 << 20 // bytes
)

// finish reads the Dockerfile and the ignore file of a context. Local says that it is a
// directory of the person, for whom -f may name any file.
func (o *Options) finish(c *Context, local bool) (*Context, error) {
	own, err := o.dockerfile(c, local)
	if err == nil && c.Ignore == nil && !own {
		c.Ignore, c.IgnoreName, err = readIgnore(c.Source, defaultIgnore)
	}
	if err != nil {
		c.Source.Close()
		return nil, err
	}
	c.Source.ignoring(c.Ignore)
	return c, nil
}

// dockerfile reads the Dockerfile, and the ignore file that is its own, if it has one.
func (o *Options) dockerfile(c *Context, local bool) (own bool, err error) {
	switch {
	case o.Dockerfile == "-":
		c.DockerfileName = defaultDockerfile
		c.Dockerfile, err = readLimited(o.Stdin)
		return false, err
	case o.Dockerfile == "":
		c.DockerfileName = defaultDockerfile
		c.Dockerfile, err = c.ReadFile(c.DockerfileName, maxDockerfile)
		if errors.Is(err, fs.ErrNotExist) {
			if b, e := c.ReadFile("dockerfile", maxDockerfile); e == nil {
				c.Dockerfile, c.DockerfileName, err = b, "dockerfile", nil
			}
		}
	case local:
		return o.hostDockerfile(c)
	default:
		c.DockerfileName = o.Dockerfile
		c.Dockerfile, err = c.ReadFile(o.Dockerfile, maxDockerfile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = missing(filepath.Join(c.host, c.DockerfileName))
	}
	if err != nil {
		return false, err
	}
	c.Ignore, c.IgnoreName, err = readIgnore(c.Source, c.DockerfileName+defaultIgnore)
	return c.IgnoreName != "", err
}

// missing is what Docker says where there is no Dockerfile.
func missing(path string) error {
	return fmt.Errorf("unable to evaluate symlinks in Dockerfile path: lstat %s: no such file or directory", path)
}

// hostDockerfile reads the Dockerfile that a person names for a directory of theirs: relative to
// the working directory, or else to the context.
func (o *Options) hostDockerfile(c *Context) (own bool, err error) {
	at, err := filepath.Abs(o.Dockerfile)
	if err != nil {
		return false, err
	}
	c.DockerfileName = o.Dockerfile
	c.Dockerfile, err = readHost(at)
	if errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(o.Dockerfile) {
		inside := filepath.Join(c.host, o.Dockerfile)
		if b, e := readHost(inside); e == nil {
			at, c.Dockerfile, err = inside, b, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = missing(at)
	}
	if err != nil {
		return false, err
	}
	if rel, err := filepath.Rel(c.host, at); err == nil && filepath.IsLocal(rel) {
		c.DockerfileName = filepath.ToSlash(rel)
	}
	b, err := readHost(at + defaultIgnore)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		c.Ignore, err = ParseIgnore(bytes.NewReader(b))
	}
	c.IgnoreName = c.DockerfileName + defaultIgnore
	return true, err
}

// readHost reads a file of the host.
func readHost(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f)
}

func readLimited(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxDockerfile+1))
	if err == nil && len(b) > maxDockerfile {
		err = fmt.Errorf("the Dockerfile has more than %d bytes", maxDockerfile)
	}
	return b, err
}

// readIgnore reads an ignore file of s. The name is "" if there is none.
func readIgnore(s *Source, name string) (*Ignore, string, error) {
	b, err := s.ReadFile(name, maxIgnore)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	i, err := ParseIgnore(bytes.NewReader(b))
	if err != nil {
		err = fmt.Errorf("failed parsing %s: %w", name, err)
	}
	return i, name, err
}
