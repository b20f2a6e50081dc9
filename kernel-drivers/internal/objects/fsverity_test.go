package objects

import (
	"strings"
	"testing"
)

// What fsverity-utils' `fsverity digest` prints.
func TestDigest(t *testing.T) {
	for _, c := range []struct {
		size int // as many times "a"
		want string
	}{
		{0, "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"},
		{4096, "a2a808ddaced77f0b6b3068f47b14b5a1fb3fc43674993ab11b8e7e6f2d089e2"},
		{4097, "18b155c0b6e054f3f7d22488ed15340e74dc161ce2d123e13eb685c3ce565f70"},
		// A whole block of hashes, and one more.
		{128 * 4096, "35ce0df2a57eb54aeba7969570bac9dfadfac295ec181a03f13ac7a7da54909e"},
		{128*4096 + 1, "cc4f297494cf9e0b6f159db6d30a62d3fcc219fc9c0cbc2d8792bd264da4d9cb"},
		{70000000, "0ab601c6897dc98c76806669d40ac2bea6670e33bd6c5c32d4d7f839a56edb19"},
	} {
		got, err := Digest(strings.NewReader(strings.Repeat("a", c.size)))
		if err != nil || got != c.want {
			t.Errorf("of %d bytes: %s, %v, want %s", c.size, got, err, c.want)
		}
	}
}
