package ecr

import (
	"strings"
	"testing"
)

// FuzzTarget checks that no path reaches files outside of its account's and region's folder.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"/v2/000000000000/us-east-1/web/manifests/v1", "/v2/000000000000/us-east-1/a/../../b/blobs/sha256:00",
		"/v2/000000000000/us-east-1/team/web/blobs/uploads/", "/v2/000000000000/us-east-1/_layers/tags/list", "/v2/1/x/y/referrers/z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		target, ok := parseTarget(path)
		if !ok {
			return
		}
		if strings.Contains(target.key(), "..") || strings.Contains("/"+target.name, "/_") || strings.HasPrefix(target.name, "/") || strings.HasSuffix(target.name, "/") {
			t.Errorf("%q gives repository %q", path, target.key())
		}
	})
}
