package agent

import (
	"regexp"
	"testing"
)

// IDs of tasks begin with the time, so the beginning of an ID does not tell tasks of one call apart.
func TestEachContainerHasAHostNameOfItsOwn(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{12}$`)
	seen := map[string]string{}
	for _, task := range []string{"01a20700b63e06d49335eeca05f274c9", "01a20700b63e0b12aa51cf0e33b0d7f2"} {
		for _, name := range []string{"web", "db"} {
			id := containerID("arn:aws:ecs:us-east-1:000000000000:task/default/"+task, name)
			host := hostName(id)
			if !form.MatchString(host) {
				t.Errorf("%s: got %q, want 12 hexadecimal digits", id, host)
			}
			if other, ok := seen[host]; ok {
				t.Errorf("%s and %s have the same host name %s", id, other, host)
			}
			if seen[host] = id; host != hostName(id) {
				t.Errorf("%s: the name changes", id)
			}
		}
	}
}
