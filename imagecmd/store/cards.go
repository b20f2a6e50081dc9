package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// cards is a file beside the merged indexes, and like them a cache: what was
// read of every target, so that a list need not open the manifest, the config and
// the layers of each image. A target is its digest, so nothing on a card can
// become wrong; an image that is not whole, or not for this platform, has none.
// Any reader may write the file anew, the last one wins, and what can't be read
// is empty.
//
// It is a line for the version and the platform, and one a target: digests of
// target, manifest and config, time (RFC 3339 or empty), bytes, and the labels as
// JSON, with tabs between them. Being read for every list, it is faster than JSON.
type cards map[digest.Digest]card

const cardsName = "list"

func (s *Store) cardsHead() string { return "cfs list 1 " + FormatPlatform(s.platform) }

// card is what is known of one target.
type card struct {
	manifest digest.Digest
	id       digest.Digest
	created  time.Time
	size     int64
	labels   map[string]string
}

func (c card) image(target ocispec.Descriptor) *Image {
	return &Image{
		Summary:  Summary{ID: c.id, Created: c.created, Labels: c.labels, Size: c.size},
		Target:   target,
		Manifest: ocispec.Descriptor{Digest: c.manifest},
	}
}

func (s *Store) cardsPath() string { return filepath.Join(s.images(), cardsName) }

func (s *Store) readCards() cards {
	raw, err := os.ReadFile(s.cardsPath())
	if err != nil {
		return nil
	}
	lines := strings.Split(string(raw), "\n")
	// The last one ends in a newline: half a file is none.
	if lines[0] != s.cardsHead() || lines[len(lines)-1] != "" {
		return nil
	}
	all := make(cards, len(lines))
	for _, l := range lines[1 : len(lines)-1] {
		target, c, err := parseCard(l)
		if err != nil {
			return nil
		}
		all[target] = c
	}
	return all
}

func parseCard(line string) (target digest.Digest, c card, err error) {
	f := strings.Split(line, "\t")
	if len(f) != 6 {
		return "", c, fmt.Errorf("%w: %d fields", ErrInvalid, len(f))
	}
	target, c.manifest, c.id = digest.Digest(f[0]), digest.Digest(f[1]), digest.Digest(f[2])
	for _, d := range []digest.Digest{target, c.manifest, c.id} {
		if err := checkDigest(d); err != nil {
			return "", c, err
		}
	}
	if f[3] != "" {
		if c.created, err = time.Parse(time.RFC3339Nano, f[3]); err != nil {
			return "", c, err
		}
	}
	if c.size, err = strconv.ParseInt(f[4], 10, 64); err != nil {
		return "", c, err
	}
	if f[5] != "" {
		err = json.Unmarshal([]byte(f[5]), &c.labels)
	}
	return target, c, err
}

func (c card) line(target digest.Digest) (string, error) {
	created, labels := "", ""
	if !c.created.IsZero() {
		created = c.created.Format(time.RFC3339Nano)
	}
	if len(c.labels) > 0 {
		raw, err := json.Marshal(c.labels) // which escapes tabs and newlines
		if err != nil {
			return "", err
		}
		labels = string(raw)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\n", target, c.manifest, c.id, created, c.size, labels), nil
}

// learn writes a card for everything that was read, and leaves out those of
// targets that are gone. A store that can't be written to goes without.
func (s *Store) learn(known cards, targets []ocispec.Descriptor, read map[digest.Digest]*readResult) {
	var text strings.Builder
	text.WriteString(s.cardsHead() + "\n")
	learned := false
	for _, d := range targets {
		c, ok := known[d.Digest]
		if !ok {
			img := read[d.Digest].img
			if img == nil || img.unpacked || img.mismatch != nil {
				continue
			}
			c = card{manifest: img.Manifest.Digest, id: img.ID, created: img.Created, size: img.Size, labels: img.Labels}
			learned = true
		} else if len(read) == 0 {
			return // all is known
		}
		l, err := c.line(d.Digest)
		if err != nil {
			return
		}
		text.WriteString(l)
	}
	if !learned {
		return
	}
	t, err := s.tempFile("list")
	if err != nil {
		return
	}
	defer t.discard()
	if _, err := t.f.WriteString(text.String()); err != nil {
		return
	}
	// Not synced: what a crash leaves of it is found out when it is read.
	if os.Rename(t.path, s.cardsPath()) == nil {
		t.done = true
		t.f.Close()
	}
}
