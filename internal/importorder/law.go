package importorder

import (
	"fmt"
	"slices"
	"strings"
)

// A room is a package, or a tree of packages, with one place in the order.
type room struct {
	name string
	// below are the rooms that it may import from; "*" is all but bench and
	// commands.
	below []string
	// apart says that its sub-packages don't know each other, nor a package
	// of the room that is above them.
	apart bool
	why   string // what it is, for the one who broke the law
}

// law is the import order, lowest first. A change of it is a change of the
// design.
var law = []room{
	{name: "whiteout", why: "it is pure vocabulary and knows no other room"},
	{name: "cow", below: []string{"whiteout"}, why: "it says what copy-on-write means, and is below all who do it"},
	{name: "cow/cowtest", below: []string{"cow", "whiteout"}, why: "the conformance suite knows no driver and no packed layer"},
	{name: "layerpack", below: []string{"whiteout", "cow"}, why: "it knows layers as bytes, and nobody who mounts them"},
	{name: "unionfs", below: []string{"whiteout", "cow", "layerpack"}, why: "a driver knows layers, and no image"},
	{name: "kernel-drivers/internal", below: []string{"whiteout", "cow", "layerpack"}, why: "it is what drivers share, and is below them"},
	{name: "kernel-drivers", below: []string{"whiteout", "cow", "layerpack", "kernel-drivers/internal"}, apart: true, why: "a driver knows layers, no image, and no other driver"},
	{name: "runtime", why: "it knows a bundle, never an image or a layer"},
	{name: "imagecmd/internal", below: belowImages, why: imagesWhy},
	{name: "imagecmd/store", below: belowImages, why: imagesWhy},
	{name: "imagecmd/remote", below: belowImages, why: imagesWhy},
	{name: "imagecmd/registry", below: belowImages, why: imagesWhy},
	{name: "imagecmd/build", below: append([]string{"runtime"}, belowImages...), why: imagesWhy},
	{name: "imagecmd", below: []string{"*"}, why: "it is below the command line only"},
	{name: "bench", below: []string{"*"}, why: "it measures what can be imported"},
	{name: "cmd", below: []string{"*"}, why: "the command line imports everything"},
	{name: "internal", why: "everybody may import it, so it can import no room"},
}

// belowImages are the rooms below the parts of imagecmd, which may import one
// another: Go itself keeps that free of cycles.
var belowImages = []string{"whiteout", "cow", "layerpack", "unionfs", "kernel-drivers", "imagecmd/internal",
	"imagecmd/store", "imagecmd/remote", "imagecmd/registry", "imagecmd/build"}

const imagesWhy = "it is a part of imagecmd, below the commands"

// An Import is one package importing another, both by their paths in the
// module.
type Import struct {
	From, To string
	Test     bool // in a _test.go file
}

// Check lists what breaks the law, one line each.
func Check(imports []Import) []string {
	var out []string
	for _, i := range imports {
		if reason := forbidden(i); reason != "" {
			line := fmt.Sprintf("%s must not import %s: %s", i.From, i.To, reason)
			if i.Test {
				line += " (in a test)"
			}
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func forbidden(i Import) string {
	if i.From == i.To {
		return "" // an external test and its package
	}
	from, to := roomOf(i.From), roomOf(i.To)
	switch {
	case from == nil:
		return "the importing package is in no room of the law (internal/importorder/law.go)"
	case to == nil:
		return "the imported package is in no room of the law (internal/importorder/law.go)"
	case to.name == "cow/cowtest":
		if i.Test || from.name == "bench" || from.name == to.name {
			return ""
		}
		return "the conformance suite is for tests"
	case to.name == "internal":
		return ""
	case from == to && !from.apart:
		return ""
	case from == to && i.From == from.name:
		return "" // the list of drivers
	case from.name == "internal" && i.Test && to.name != "cmd" && to.name != "bench":
		return "" // where tests are that need several rooms
	case to.name == "bench" && from.name != "cmd":
		return "only the command line imports the benchmark"
	case to.name == "cmd":
		return "nobody imports the command line"
	case from != to && slices.Contains(from.below, "*"), from != to && slices.Contains(from.below, to.name):
		return ""
	}
	return from.why
}

// roomOf is the room of a package, nil if the law has none.
func roomOf(pkg string) *room {
	var best *room
	for i := range law {
		r := &law[i]
		if (pkg == r.name || strings.HasPrefix(pkg, r.name+"/")) && (best == nil || len(r.name) > len(best.name)) {
			best = r
		}
	}
	return best
}
