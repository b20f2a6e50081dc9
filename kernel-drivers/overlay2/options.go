package overlay2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/options"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/whiteout"
)

var _ cow.Configurer = (*Driver)(nil)

// Names of options, which are overlayfs's own (Documentation/filesystems/overlayfs.rst).
const (
	optMetacopy = "metacopy"
	optRedirect = "redirect_dir"
	optIndex    = "index"
	optVolatile = "volatile"
	optDataDir  = "datadir"
)

var definitions = []options.Definition{
	{Name: optRedirect, Default: "auto", Usage: "on: directories of an image can be renamed; off: that fails with EXDEV; auto: on for root", Check: oneOf("auto", "on", "off")},
	{Name: optMetacopy, Default: "auto", Usage: "on: chmod and chown copy no data; off; auto: on for root, with redirect_dir", Check: oneOf("auto", "on", "off")},
	{Name: optIndex, Default: "off", Usage: "on: hard links of an image stay linked when they are written to, but a container can't be mounted any more when its image was extracted anew; off", Check: oneOf("on", "off")},
	{Name: optVolatile, Default: "off", Usage: "on: nothing is synced, and a container can't be mounted any more when the machine crashed meanwhile; off", Check: oneOf("on", "off")},
	{Name: optDataDir, Usage: "shared: contents of files are kept once for all images, by digest; DIR: those found in that directory of objects, such as composefs keeps, are used; or several of these, with colons between", Check: checkDataDir},
}

func oneOf(values ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(values, value) {
			return fmt.Errorf("not one of %q", values)
		}
		return nil
	}
}

// Options implements cow.Configurer.
func (d *Driver) Options() ([]cow.Option, error) { return options.List(d.home, definitions) }

// SetOptions implements cow.Configurer. They hold from the next mount on.
func (d *Driver) SetOptions(_ context.Context, values map[string]string) error {
	return options.Set(d.home, definitions, values)
}

// settings are the options of a mount with an upper.
type settings struct {
	redirect, metacopy string // auto, on, off
	index, volatile    bool
	dataDir            string
}

func (d *Driver) settings() (settings, error) {
	v, err := options.Load(d.home, definitions)
	return settings{redirect: v[optRedirect], metacopy: v[optMetacopy], index: v[optIndex] == "on", volatile: v[optVolatile] == "on", dataDir: v[optDataDir]}, err
}

// forUpper are the options for the kernel, and the marks that it does not heed in an upper
// then. Metacopy is on if it can be, as an upper that the union wrote may have files
// that lack data. Index is off if nobody asks for it, as it ties an upper to the inodes
// of its lowers for ever, and a tree may be extracted anew.
func (o settings) forUpper(dialect whiteout.Dialect) (set [][2]string, ignored []whiteout.Key, err error) {
	refused := func(option, why string) error {
		return &cow.Unusable{Driver: Name, Reason: option + ": " + why, Hint: "cfs driver set overlay2 " + optRedirect + "= " + optMetacopy + "= " + optIndex + "="}
	}
	if o.volatile {
		set = append(set, [2]string{"volatile", ""})
	}
	if dialect == whiteout.User {
		for option, on := range map[string]bool{optRedirect: o.redirect == "on", optMetacopy: o.metacopy == "on", optIndex: o.index} {
			if on {
				return nil, nil, refused(option+"=on", "the kernel allows it in the initial user namespace only")
			}
		}
		return set, []whiteout.Key{whiteout.KeyRedirect, whiteout.KeyMetacopy}, nil
	}
	onOff := map[bool]string{true: "on", false: "off"}
	redirect := o.redirect != "off"
	metacopy := o.metacopy == "on" || o.metacopy == "auto" && redirect
	if metacopy && !redirect {
		return nil, nil, refused("metacopy=on", "it needs redirect_dir=on")
	}
	if !redirect {
		ignored = append(ignored, whiteout.KeyRedirect)
	}
	if !metacopy {
		ignored = append(ignored, whiteout.KeyMetacopy)
	}
	return append(set, [2]string{"redirect_dir", onOff[redirect]}, [2]string{"metacopy", onOff[metacopy]},
		[2]string{"index", onOff[o.index]}), ignored, nil
}

// settleVolatile has the kernel mount a snapshot again that was mounted volatile, which it
// refuses as long as it can't know that nothing was lost (overlayfs.rst, "Volatile
// mount"). As long as the machine is up nothing is: the file bootName says of
// which start of it that mount was.
func settleVolatile(dir string, volatile bool) error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	at := filepath.Join(dir, bootName)
	inside := filepath.Join(dir, workName, "work")
	var st unix.Stat_t
	if unix.Lstat(filepath.Join(inside, "incompat", "volatile"), &st) == nil {
		was, err := os.ReadFile(at)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if string(was) != string(boot) {
			return &cow.Unusable{Driver: Name, Reason: "the machine went down while this was mounted volatile: what was written may be damaged",
				Hint: "to go on with what there is: rm -r " + filepath.Join(inside, "incompat")}
		}
		if err := tree.Remove(inside, "incompat"); err != nil {
			return err
		}
	}
	if !volatile {
		return tree.Remove(dir, bootName)
	}
	return os.WriteFile(at, boot, 0o600)
}
