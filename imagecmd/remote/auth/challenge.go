package auth

import (
	"net/http"
	"strings"
)

// A challenge is what a registry wants to be shown.
type challenge struct {
	scheme string            // "basic" or "bearer"; empty: none that is known
	params map[string]string // of bearer, by their names in lower case
}

// challengeOf reads an answer's first challenge that is known. A registry that has both
// puts first what it prefers.
func challengeOf(h http.Header) challenge {
	for _, s := range h.Values("Www-Authenticate") {
		if c := parseChallenge(s); c.scheme != "" {
			return c
		}
	}
	return challenge{}
}

// parseChallenge reads a header (RFC 9110, 11.6.1) up to what is no parameter of its
// first challenge.
func parseChallenge(s string) challenge {
	scheme, rest := token(s)
	switch scheme = strings.ToLower(scheme); scheme {
	case "basic":
		return challenge{scheme: scheme}
	case "bearer":
	default:
		return challenge{}
	}
	c := challenge{scheme, map[string]string{}}
	for {
		name, after := token(skipSpace(rest))
		after, ok := strings.CutPrefix(skipSpace(after), "=")
		if name == "" || !ok {
			return c
		}
		value, after, ok := parameter(skipSpace(after))
		if !ok {
			return c
		}
		c.params[strings.ToLower(name)] = value
		if rest, ok = strings.CutPrefix(skipSpace(after), ","); !ok {
			return c
		}
	}
}

// parameter cuts off a token or a quoted string (RFC 9110, 5.6.4).
func parameter(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest = token(s)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// token cuts off a token (RFC 9110, 5.6.2).
func token(s string) (token, rest string) {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

func skipSpace(s string) string { return strings.TrimLeft(s, " \t") }
