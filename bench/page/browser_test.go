package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// seen is what a browser says of the page at one width, in pixels of CSS.
type seen struct {
	Width, Scroll float64 // of the window, and of what is in it
	Charts        []struct {
		Left, Right, Width, Height float64
		Texts                      []struct{ Left, Right, Height float64 }
	}
	Text string // what can be read
}

// look has headless Chromium lay a page out in a frame of a width, and returns what
// is seen, and what it wrote to the console.
func look(t *testing.T, page []byte, width int) (seen, string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED: needs the package chromium")
	}
	dir := t.TempDir()
	// A frame, as a window can't be as narrow as a phone. Its document is the page as it is.
	frame := fmt.Sprintf(`<!doctype html><iframe style="width:%dpx;height:900px;border:0" srcdoc="%s"></iframe><pre id="seen"></pre>
<script>
onload = () => {
  const d = document.querySelector("iframe").contentDocument, box = e => e.getBoundingClientRect();
  document.getElementById("seen").textContent = JSON.stringify({
    width: d.documentElement.clientWidth, scroll: d.documentElement.scrollWidth, text: d.body.innerText,
    charts: [...d.querySelectorAll("svg.chart")].map(s => ({left: box(s).left, right: box(s).right, width: box(s).width, height: box(s).height,
      texts: [...s.querySelectorAll("text")].map(e => ({left: box(e).left - box(s).left, right: box(s).right - box(e).right, height: box(e).height}))})),
  });
};
</script>`, width, html.EscapeString(string(page)))
	file := filepath.Join(dir, "frame.html")
	if err := os.WriteFile(file, []byte(frame), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--enable-logging=stderr", "--user-data-dir="+filepath.Join(dir, "profile"), fmt.Sprintf("--window-size=%d,1000", width+40), "--dump-dom", "file://"+file)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, &log)
	}
	_, rest, _ := strings.Cut(string(out), `<pre id="seen">`)
	raw, _, ok := strings.Cut(rest, "</pre>")
	var s seen
	if err := json.Unmarshal([]byte(html.UnescapeString(raw)), &s); err != nil || !ok {
		t.Fatalf("chromium answered %q: %v\n%s", raw, err, &log)
	}
	var console []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, ":CONSOLE:") || strings.Contains(line, ":CONSOLE(") {
			console = append(console, line)
		}
	}
	return s, strings.Join(console, "")
}

// The page shows every chart and the verdict, on a phone and on a wide screen.
func TestBrowser(t *testing.T) {
	r := read(t)
	page, err := HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{390, 1440} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			s, console := look(t, page, width)
			if console != "" {
				t.Errorf("the console: %s", console)
			}
			// A scroll bar may take a little.
			if s.Width > float64(width) || s.Width < float64(width)-20 {
				t.Fatalf("the page is laid out for %v, not %d", s.Width, width)
			}
			if s.Scroll > s.Width {
				t.Errorf("the page is %v wide, its window %v", s.Scroll, s.Width)
			}
			if len(s.Charts) != charts(r) {
				t.Errorf("%d charts, want %d", len(s.Charts), charts(r))
			}
			for i, c := range s.Charts {
				if c.Width < 280 || c.Height < 20 || c.Left < 0 || c.Right > s.Width {
					t.Errorf("chart %d: %v × %v, from %v to %v", i, c.Width, c.Height, c.Left, c.Right)
				}
				if len(c.Texts) < 2 {
					t.Errorf("chart %d has %d texts", i, len(c.Texts))
				}
				for j, x := range c.Texts {
					if x.Height < 11 || x.Left < -1 || x.Right < -1 {
						t.Errorf("chart %d, text %d: %v high, %v from the left, %v from the right", i, j, x.Height, x.Left, x.Right)
					}
				}
			}
			for _, v := range r.Verdicts {
				if !strings.Contains(s.Text, v.Use) || !strings.Contains(s.Text, v.Text) {
					t.Errorf("%s: its verdict can't be read", v.Use)
				}
			}
			for _, w := range r.Workloads {
				if !strings.Contains(s.Text, w.Name) {
					t.Errorf("%q can't be read", w.Name)
				}
			}
		})
	}
	t.Run("console", func(t *testing.T) { // that it would be heard
		if _, console := look(t, []byte(`<script>console.error("heard")</script>`), 390); !strings.Contains(console, "heard") {
			t.Errorf("the console: %q", console)
		}
	})
}
