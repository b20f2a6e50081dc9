package imagecmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// copyStage is argv[0] of the process that reads or writes a container's files for
// cfs cp, as the root of the container's user namespace. It has the container's root by
// descriptor, with all that is mounted there, and enters none of its namespaces: no
// program, library or configuration of the container is used.
const copyStage = "cfs-cp"

// A copyRequest is what one such process does.
type copyRequest struct {
	Op       copyOp
	Path     string // in the container
	Follow   bool   // stat, pack: a symlink at the path's end
	Source   cpObject
	Owner    string // unpack: whose the copies are
	Personal bool   // unpack: a tar that a person made, into a directory
}

type copyOp string

const (
	copyStat   copyOp = "stat"   // what is there, as a copyStat
	copyPack   copyOp = "pack"   // as a tar
	copyUnpack copyOp = "unpack" // a tar
)

// A copyAnswer is what a stage says at its end.
type copyAnswer struct {
	Object  cpObject
	Missing bool   // there is nothing at the path, or no directory to put it in
	Error   string // why it failed, otherwise
}

// serveCopy has a request done on a container's root, by descriptor, with the
// descriptor of a tar. The error is of who serves, the answer's of what was asked for.
func serveCopy(root *os.File, req copyRequest, file *os.File) (answer copyAnswer, err error) {
	payload, err := json.Marshal(req)
	if err != nil {
		return answer, err
	}
	said, err := memoryFile("answer")
	if err != nil {
		return answer, err
	}
	defer said.Close()
	stdio := stage.Stdio{In: root, Out: file, Err: said}
	if req.Op == copyUnpack {
		stdio.In, stdio.Out = file, root
	}
	p, err := stage.Start(userns.Mapping{}, copyStage, payload, stdio)
	if err != nil {
		return answer, err
	}
	status, err := p.Attend()
	if err != nil {
		return answer, err
	}
	b, err := readMemory(said)
	if err == nil {
		if err = json.Unmarshal(b, &answer); err != nil {
			err = fmt.Errorf("%s ended with status %d: %s", copyStage, status, b)
		}
	}
	return answer, err
}

func copyMain(_ *stage.Link, payload []byte) int {
	var req copyRequest
	var answer copyAnswer
	err := json.Unmarshal(payload, &req)
	if err == nil {
		answer.Object, err = req.do()
	}
	if errors.Is(err, errNoPlace) || req.Op != copyUnpack && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)) {
		answer.Missing = true
	}
	if err != nil {
		answer.Error = err.Error()
	}
	_ = json.NewEncoder(os.Stderr).Encode(answer)
	return 0
}

func (r copyRequest) do() (cpObject, error) {
	switch r.Op {
	case copyStat:
		f, o, err := lookAt(rootedAt(os.Stdin.Fd()), r.Path, r.Follow)
		if err == nil {
			f.Close()
		}
		return o, err
	case copyPack:
		return cpObject{}, pack(os.Stdout, rootedAt(os.Stdin.Fd()), r.Path, r.Follow, true)
	case copyUnpack:
		return cpObject{}, r.unpack(rootedAt(os.Stdout.Fd()), os.Stdin)
	}
	return cpObject{}, fmt.Errorf("nobody knows how to %q files of a container", r.Op)
}

func (r copyRequest) unpack(root rootedAt, in io.Reader) error {
	u := &unpacking{root: root, top: r.Source.Name, path: r.Path, owner: r.Owner}
	mapping, err := userns.Current()
	if err != nil {
		return err
	}
	// One who asks for owners is told where there is only one.
	u.one = mapping.Single() && (r.Personal || r.Owner == ownerRoot)
	if r.Personal {
		plain, _, err := archive.Decompress(in, -1)
		if err != nil {
			return err
		}
		defer plain.Close()
		in, u.top = plain, ""
		u.place.dir, err = root.open(r.Path, unix.O_PATH|unix.O_DIRECTORY)
		switch {
		case errors.Is(err, unix.ENOENT):
			return errNoPlace
		case errors.Is(err, unix.ENOTDIR):
			return errMustBeADir
		case err != nil:
			return err
		}
	} else if u.place, err = place(root, r.Path, r.Source); err != nil {
		return err
	}
	defer u.place.dir.Close()
	return u.unpack(in)
}
