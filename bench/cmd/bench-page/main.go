// Command bench-page makes the page of a report that is kept as JSON anew, as this
// program's version draws it, and a picture of how a browser shows it. It needs
// chromium for the picture.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/bench"
	"github.com/cfs-project/cfs/bench/page"
)

type options struct {
	report, html, png string
	width, height     int
	dark              bool
}

func main() {
	var o options
	flag.StringVar(&o.report, "report", "", "the report.json of a cfs bench")
	flag.StringVar(&o.html, "html", "", "write the page to this file")
	flag.StringVar(&o.png, "png", "", "write a picture of it to this file")
	flag.IntVar(&o.width, "width", 1440, "of the picture, in pixels")
	flag.IntVar(&o.height, "height", 1500, "of the picture, in pixels: what is below is not on it")
	flag.BoolVar(&o.dark, "dark", false, "as a browser shows it that prefers dark pages")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := o.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-page:", err)
		os.Exit(1)
	}
}

func (o options) run(ctx context.Context) (err error) {
	if o.report == "" || o.html == "" && o.png == "" || flag.NArg() > 0 {
		return errors.New("say -report, and -html or -png")
	}
	r, err := bench.ReadReport(o.report)
	if err != nil {
		return err
	}
	html, err := page.HTML(r)
	if err != nil {
		return err
	}
	if o.html != "" {
		if err := os.WriteFile(o.html, html, 0o644); err != nil {
			return err
		}
	}
	if o.png == "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "bench-page-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return o.picture(ctx, dir, html)
}

// picture has chromium draw the page in a frame, as its window can't be as narrow as a phone.
func (o options) picture(ctx context.Context, dir string, html []byte) error {
	if err := os.WriteFile(filepath.Join(dir, "page.html"), html, 0o644); err != nil {
		return err
	}
	frame := fmt.Sprintf(`<!doctype html><meta name="color-scheme" content="light dark"><style>body{margin:0}</style>`+
		`<iframe src="page.html" scrolling="no" style="display:block;border:0;width:%dpx;height:%dpx"></iframe>`, o.width, o.height)
	name := filepath.Join(dir, "frame.html")
	if err := os.WriteFile(name, []byte(frame), 0o644); err != nil {
		return err
	}
	png, err := filepath.Abs(o.png)
	if err != nil {
		return err
	}
	args := []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
		"--user-data-dir=" + filepath.Join(dir, "profile"), fmt.Sprintf("--window-size=%d,%d", o.width, o.height), "--screenshot=" + png}
	if o.dark {
		args = append(args, "--blink-settings=preferredColorScheme=0")
	}
	cmd := exec.CommandContext(ctx, "chromium", append(args, "file://"+name)...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("chromium: %w: %s", err, bytes.TrimSpace(talk.Bytes()))
	}
	return nil
}
