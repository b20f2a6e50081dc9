package imagecmd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Fields with commas are quoted, as Docker has it, in every flag of a build that has fields.
func TestQuotedFields(t *testing.T) {
	secret, err := ParseSecret(`id=s,"src=/a,b"`)
	if diff := cmp.Diff(BuildSecret{ID: "s", File: "/a,b"}, secret); diff != "" || err != nil {
		t.Errorf("secret: %v %s", err, diff)
	}
	from, err := ParseCacheFrom(`type=local,"src=c,d"`)
	if diff := cmp.Diff([]CacheSource{{"local", "c,d"}}, from); diff != "" || err != nil {
		t.Errorf("cache from: %v %s", err, diff)
	}
	to, err := ParseCacheTo(`type=local,"dest=c,""d"""`)
	if diff := cmp.Diff(CacheSource{"local", `c,"d"`}, to); diff != "" || err != nil {
		t.Errorf("cache to: %v %s", err, diff)
	}
	out, names, err := ParseBuildOutput(`type=image,"name=a:1,b:2"`)
	if diff := cmp.Diff([]string{"a:1", "b:2"}, names); diff != "" || err != nil || out.Type != "image" {
		t.Errorf("output: %v %s %v", err, diff, out)
	}
	for _, bad := range []string{`id=s,"src=a`, `id=s,src="a"`, "id=s\nsrc=a", ""} {
		if got, err := ParseSecret(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
		if got, err := ParseCacheTo(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
		if got, _, err := ParseBuildOutput(bad); bad != "" && err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}
