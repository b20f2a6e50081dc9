// Package hello is the program of the built-in image cfs/hello: what the cfs
// binary does when it is run under the name [Name]. It looks at where it is and
// tells: the host, the root it stands on, and the layer that each file of the
// image came from.
//
//	/proc, uname(2)                         ─┐
//	getxattr(path, "user.cfs.layer")         ├─► Main ─► a page of text
//	/hello/layers, CFS_HELLO_LAYERS          ─┘   (where the union does not tell)
//
// The image is assembled by package imagecmd. This package imports little, as
// it runs in a container that has nothing.
package hello

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// Name is the last element of argv[0] under which the binary is this program.
	Name = "cfs-hello"
	// LayersEnv lists the diff IDs of the image's layers, bottom first,
	// separated by commas.
	LayersEnv = "CFS_HELLO_LAYERS"
	// ListPath is the image's list of its files, see [List].
	ListPath = "/hello/layers"
	// GreetingPath is the file that one layer brings and the next replaces.
	GreetingPath = "/hello/greeting.txt"

	layerXattr = "user.cfs.layer"
)

// Main prints the page and returns the exit status.
func Main(out io.Writer) int {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "\n  Hello from cfs!\n\n")
	fmt.Fprintf(w, "  You are looking at the cfs program itself, run as /%s in an image it carries\n", Name)
	fmt.Fprintf(w, "  within: no registry, no file, no daemon.\n\n")
	where(w)
	layers(w)
	fmt.Fprintf(w, "  Next:  cfs import ROOT.tar NAME     an image from a root filesystem\n")
	fmt.Fprintf(w, "         cfs load -i IMAGE.tar        an image that docker save wrote\n")
	fmt.Fprintf(w, "         cfs run -it NAME sh          a shell in it\n\n")
	if err := w.Flush(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Name, err)
		return 1
	}
	return 0
}

// where tells what the program runs on.
func where(w io.Writer) {
	item := func(name, value string) { fmt.Fprintf(w, "  %-10s %s\n", name, value) }
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		item("kernel", unix.ByteSliceToString(u.Sysname[:])+" "+unix.ByteSliceToString(u.Release[:])+" "+unix.ByteSliceToString(u.Machine[:]))
		item("hostname", unix.ByteSliceToString(u.Nodename[:]))
	}
	item("root", rootMount(readFile("/proc/self/mountinfo")))
	user, rootless := idMap(readFile("/proc/self/uid_map"), os.Getuid())
	item("user", user)
	item("mode", rootless)
	fmt.Fprintln(w)
}

func readFile(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// rootMount describes the mount at / by the fields of proc(5)'s mountinfo.
func rootMount(mountinfo string) string {
	found := "unknown: no /proc here"
	for l := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(l, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(g) < 2 || f[4] != "/" {
			continue
		}
		access := "read-write"
		if strings.HasPrefix(f[5]+",", "ro,") {
			access = "read-only"
		}
		found = fmt.Sprintf("%s, %s, from %s", filesystem(g[0]), access, g[1]) // the last one is on top
	}
	return found
}

func filesystem(kind string) string {
	switch {
	case kind == "fuse" || strings.HasPrefix(kind, "fuse."):
		return kind + " (a union in user space)"
	case kind == "overlay":
		return kind + " (the kernel's union)"
	case kind == "erofs":
		return kind + " (the kernel reads the merged index)"
	}
	return kind
}

// idMap says who the user is outside, by user_namespaces(7)'s uid_map.
func idMap(uidMap string, uid int) (user, mode string) {
	const whole = 1<<32 - 1
	mapped, outside, count := false, int64(0), int64(0)
	for l := range strings.Lines(uidMap) {
		var in, out, n int64
		if _, err := fmt.Sscan(l, &in, &out, &n); err != nil {
			continue
		}
		count += n
		if int64(uid) >= in && int64(uid)-in < n {
			mapped, outside = true, out+int64(uid)-in
		}
	}
	switch {
	case !mapped:
		return fmt.Sprintf("uid %d", uid), "unknown: no uid_map here"
	case count == whole && outside == int64(uid):
		return fmt.Sprintf("uid %d, the same outside", uid), "no user namespace"
	}
	user = fmt.Sprintf("uid %d here is uid %d outside; %d uids are mapped", uid, outside, count)
	if count == 1 {
		user = fmt.Sprintf("uid %d here is uid %d outside, the only one that is mapped", uid, outside)
	}
	if outside == 0 {
		return user, "a user namespace of root"
	}
	return user, "rootless"
}

// layers tells where every file of the image came from.
func layers(w io.Writer) {
	list, err := ParseList(readFile(ListPath))
	if err != nil || len(list.Layers) == 0 {
		fmt.Fprintf(w, "  %s can't be read: this is not the image cfs/hello.\n\n", ListPath)
		return
	}
	ids := strings.Split(os.Getenv(LayersEnv), ",")
	told := false
	for i := range list.Files {
		if list.Files[i].ask(ids) {
			told = true
		}
	}
	by := "as the image's own list has it"
	if told {
		by = "as the union answers (getxattr " + layerXattr + ")"
	}
	fmt.Fprintf(w, "  Files and their layers, %s:\n\n", by)
	for i, what := range list.Layers {
		id := ""
		if i < len(ids) {
			id = short(ids[i])
		}
		fmt.Fprintf(w, "  layer %d  %-19s %s\n", i+1, id, what)
		for _, f := range list.Files {
			f.print(w, i+1)
		}
		fmt.Fprintln(w)
	}
	if s := strings.TrimSpace(readFile(GreetingPath)); s != "" {
		fmt.Fprintf(w, "  %s says: %s\n\n", GreetingPath, s)
	}
}

func short(id string) string {
	if len(id) > 19 { // sha256: and 12 digits
		return id[:19]
	}
	return id
}
