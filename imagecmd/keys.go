package imagecmd

import (
	"bytes"
	"strings"
)

// defaultDetachKeys are Docker's.
const defaultDetachKeys = "ctrl-p,ctrl-q"

// A keyWatch finds the keys that detach in what is typed.
type keyWatch struct {
	keys []byte
	seen int // of keys, typed already and not passed on
}

// newKeyWatch reads keys as Docker writes them: letters, or ctrl- and one of a-z@[\]^_,
// separated by commas. Empty means the default.
func newKeyWatch(keys string) (*keyWatch, error) {
	if keys == "" {
		keys = defaultDetachKeys
	}
	w := &keyWatch{}
	for key := range strings.SplitSeq(keys, ",") {
		c, ctrl := strings.CutPrefix(key, "ctrl-")
		switch {
		case len(c) != 1:
			return nil, sentencef(nil, "Unknown character: '%s'", key)
		case !ctrl:
			w.keys = append(w.keys, c[0])
		case c[0] >= 'a' && c[0] <= 'z':
			w.keys = append(w.keys, c[0]-'a'+1)
		case c[0] == '@' || c[0] >= '[' && c[0] <= '_':
			w.keys = append(w.keys, c[0]-'@')
		default:
			return nil, sentencef(nil, "Unknown character: '%s'", key)
		}
	}
	return w, nil
}

// look takes in what was typed. It returns what is to be passed on, and whether the
// keys are complete; what came after them is dropped.
func (w *keyWatch) look(b []byte) (pass []byte, leave bool) {
	var out bytes.Buffer
	for _, c := range b {
		if c == w.keys[w.seen] {
			if w.seen++; w.seen == len(w.keys) {
				return out.Bytes(), true
			}
			continue
		}
		out.Write(w.keys[:w.seen])
		w.seen = 0
		if c == w.keys[0] {
			w.seen = 1
			continue
		}
		out.WriteByte(c)
	}
	return out.Bytes(), false
}
