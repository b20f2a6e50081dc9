package imagecmd

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Top prints the processes of a container as ps(1) of the host prints them, with its
// arguments, -ef without.
func Top(root, name string, args []string, out io.Writer) error {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return err
	}
	r, err := c.ask(controlRequest{Op: opTop})
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	b, err := exec.Command("ps", args...).Output()
	if err != nil {
		return fmt.Errorf("ps %s: %w", strings.Join(args, " "), err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	head := strings.Fields(lines[0])
	column := -1
	for i, h := range head {
		if h == "PID" {
			column = i
		}
	}
	if column < 0 {
		return sentencef(nil, "Couldn't find PID field in ps output")
	}
	mine := map[int]bool{}
	for _, p := range r.Pids {
		mine[p] = true
	}
	w := tabwriter.NewWriter(out, 20, 1, 3, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, l := range lines[1:] {
		f := strings.Fields(l)
		if len(f) < len(head) {
			continue
		}
		if pid, err := strconv.Atoi(f[column]); err != nil || !mine[pid] {
			continue
		}
		last := len(head) - 1 // the command, which has blanks in it
		fmt.Fprintln(w, strings.Join(append(f[:last:last], strings.Join(f[last:], " ")), "\t"))
	}
	return w.Flush()
}
