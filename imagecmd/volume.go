package imagecmd

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/durable"
)

// Files of a volume's directory, volumes/<name>/. The directory itself is flocked,
// exclusive, by whoever fills it.
const (
	volumeConfig  = "volume.json" // a Volume, written once
	volumeData    = "_data"       // what containers see
	volumeFilling = "_filling"    // what is being copied of an image
	volumeFilled  = "_filled"     // all of it, on its way into the data
)

// localDriver is the one driver of volumes, as Docker calls it.
const localDriver = "local"

// anonymousLabel is Docker's mark of a volume that nobody has named.
const anonymousLabel = "com.docker.volume.anonymous"

// Sentinels of the volume functions.
var (
	// ErrNoVolume is returned when no volume has a name.
	ErrNoVolume = errors.New("no such volume")
	// ErrVolumeInUse is returned when a container has a volume that is to go.
	ErrVolumeInUse = errors.New("volume is in use")
)

// A Volume is a directory that outlives the containers it is mounted in.
type Volume struct {
	Name    string            `json:"name"`
	Created time.Time         `json:"created"`
	Labels  map[string]string `json:"labels"`
	Options map[string]string `json:"options"` // of the driver, see bindOptions

	dir string
}

// Anonymous tells whether it was made for a container, without a name of its own.
func (v *Volume) Anonymous() bool {
	_, ok := v.Labels[anonymousLabel]
	return ok
}

// Mountpoint is the directory that containers see.
func (v *Volume) Mountpoint() string { return filepath.Join(v.dir, volumeData) }

// source is what is mounted in a container: the data, or the directory of the host that
// the volume stands for.
func (v *Volume) source() string {
	if device := v.Options["device"]; device != "" {
		return device
	}
	return v.Mountpoint()
}

// Volumes are the volumes below one store's root.
type Volumes struct{ root string }

// OpenVolumes gives access to the volumes of the store at root.
func OpenVolumes(root string) Volumes { return Volumes{root: root} }

func (vs Volumes) dir() string { return filepath.Join(vs.root, "volumes") }

func (vs Volumes) path(name string) string { return filepath.Join(vs.dir(), name) }

// checkVolumeName refuses what is none, in Docker's words.
func checkVolumeName(name string) error {
	switch {
	case len(name) == 1:
		return fmt.Errorf("create %s: volume name is too short, names should be at least two alphanumeric characters", name)
	case !nameRule().MatchString(name):
		return fmt.Errorf(`create %s: "%[1]s" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`, name)
	}
	return nil
}

// newVolumeName is the name of a volume that nobody names.
func newVolumeName() (string, error) {
	var id [32]byte
	_, err := rand.Read(id[:])
	return hex.EncodeToString(id[:]), err
}

// Find returns the volume of that name, or ErrNoVolume.
func (vs Volumes) Find(name string) (*Volume, error) {
	missing := sentencef(ErrNoVolume, "No such volume: %s", name)
	if !nameRule().MatchString(name) {
		return nil, missing
	}
	v := &Volume{dir: vs.path(name)}
	err := readJSON(filepath.Join(v.dir, volumeConfig), v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	v.Name = name
	return v, err
}

// List returns every volume, by name.
func (vs Volumes) List() ([]*Volume, error) {
	entries, err := os.ReadDir(vs.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*Volume
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		v, err := vs.Find(e.Name())
		if errors.Is(err, ErrNoVolume) {
			continue // being removed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *Volume) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// make makes a volume, which appears whole or not at all, unless there is one of that
// name: then made is false. The names of containers are locked.
func (vs Volumes) make(v Volume) (made bool, err error) {
	if err := checkVolumeName(v.Name); err != nil {
		return false, err
	}
	if err := checkVolumeOptions(v.Options); err != nil {
		return false, err
	}
	switch old, err := vs.Find(v.Name); {
	case err == nil && len(v.Options) > 0 && !sameOptions(old.Options, v.Options):
		return false, fmt.Errorf("create %s: a volume of that name exists already, with other options", v.Name)
	case err == nil || !errors.Is(err, ErrNoVolume):
		return false, err
	}
	if err := os.MkdirAll(vs.dir(), 0o711); err != nil {
		return false, err
	}
	if v.Created.IsZero() {
		v.Created = time.Now().UTC()
	}
	tmp := filepath.Join(vs.dir(), ".new-"+v.Name)
	if err := os.RemoveAll(tmp); err != nil { // a killed process's
		return false, err
	}
	defer os.RemoveAll(tmp)
	if err := os.Mkdir(tmp, 0o700); err != nil { // setuid programs in it are not for everybody
		return false, err
	}
	if err := os.Mkdir(filepath.Join(tmp, volumeData), 0o755); err != nil {
		return false, err
	}
	if err := os.Chmod(filepath.Join(tmp, volumeData), 0o755); err != nil { // whatever the umask is
		return false, err
	}
	if err := writeJSON(filepath.Join(tmp, volumeConfig), v); err != nil {
		return false, err
	}
	if err := os.Rename(tmp, vs.path(v.Name)); err != nil {
		return false, err
	}
	return true, durable.SyncDir(vs.dir())
}

// sameOptions compares options, of which missing ones are empty.
func sameOptions(a, b map[string]string) bool {
	for _, k := range []string{"type", "o", "device"} {
		if a[k] != b[k] {
			return false
		}
	}
	return true
}

// checkVolumeOptions refuses options that the local driver of Docker has, and cfs has
// not: what is mounted in a container is a directory.
func checkVolumeOptions(o map[string]string) error {
	for k := range o {
		if k != "type" && k != "o" && k != "device" {
			return fmt.Errorf("invalid option: %q", k)
		}
	}
	switch kind, how, device := o["type"], o["o"], o["device"]; {
	case len(o) == 0:
		return nil
	case kind != "" && kind != "none" && kind != "bind":
		return fmt.Errorf("volume option type=%s is not supported: there is none, with o=bind and device=DIRECTORY", kind)
	case how == "" || device == "":
		return errors.New("missing required option: o=bind and device=DIRECTORY go together")
	case how != "bind" && how != "rbind":
		return fmt.Errorf("volume option o=%s is not supported: there is bind", how)
	case !filepath.IsAbs(device):
		return fmt.Errorf("volume option device=%s: a device is an absolute path of a directory", device)
	}
	return nil
}

// remove takes a volume that no container has out of the way and deletes it. What is
// left of one that was being deleted is swept. It fails with ErrNoVolume or
// ErrVolumeInUse.
func (vs Volumes) remove(name string) error {
	if _, err := vs.Find(name); err != nil {
		return err
	}
	gone, err := vs.takeAway(name)
	if err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// takeAway gives the directory of an unused volume a name that is swept.
func (vs Volumes) takeAway(name string) (gone string, err error) {
	cs := OpenContainers(vs.root)
	names, err := cs.makeAndLockNames()
	if err != nil {
		return "", err
	}
	defer names.Close()
	all, err := cs.List()
	if err != nil {
		return "", err
	}
	var users []string
	for _, c := range all {
		if c.has(name) {
			users = append(users, c.ID)
		}
	}
	if len(users) > 0 {
		return "", sentencef(ErrVolumeInUse, "remove %s: volume is in use - [%s]", name, strings.Join(users, ", "))
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	gone = filepath.Join(vs.dir(), ".gone-"+hex.EncodeToString(id[:]))
	err = os.Rename(vs.path(name), gone)
	if errors.Is(err, fs.ErrNotExist) {
		err = sentencef(ErrNoVolume, "No such volume: %s", name)
	}
	return gone, err
}

// sweep deletes what killed processes left. The names of containers are locked, so
// that nobody is making a volume; one that is being deleted by somebody else is gone
// the sooner.
func (vs Volumes) sweep() error {
	entries, err := os.ReadDir(vs.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			err := os.RemoveAll(filepath.Join(vs.dir(), e.Name()))
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// has tells whether a volume is mounted in the container when it runs.
func (c *Container) has(volume string) bool {
	return slices.ContainsFunc(c.Options.Mounts, func(m MountOption) bool { return m.Type == mountVolume && m.Source == volume })
}

// anonymous are the volumes that go with the container.
func (c *Container) anonymous() []string {
	var names []string
	for _, m := range c.Options.Mounts {
		if m.Type == mountVolume && m.Anonymous {
			names = append(names, m.Source)
		}
	}
	return names
}

// removeVolumes removes the container's anonymous volumes once it is gone, but for those
// that another container has too.
func (vs Volumes) removeVolumes(names []string) error {
	var errs []error
	for _, name := range names {
		if err := vs.remove(name); !errors.Is(err, ErrVolumeInUse) && !errors.Is(err, ErrNoVolume) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
