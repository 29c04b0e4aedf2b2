package ecr

import (
	"strings"

	"berth/store"
)

// Resolve finds the digest that the tag in an image's name has now; a name without tag means latest. It is not ok for images of
// other registries, and if the tag is not there. Names are those that agents pull from here: repositoryUri and the hosts of AWS.
func (s *Service) Resolve(r store.Reader, image string) (digest string, ok bool) {
	host, rest, ok := strings.Cut(image, "/")
	if !ok || strings.Contains(rest, "@") {
		return "", false
	}
	if m := awsHost.FindStringSubmatch(host); m != nil && (strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".on.aws")) {
		if !strings.HasPrefix(rest, m[1]+"/"+m[2]+"/") {
			rest = m[1] + "/" + m[2] + "/" + rest
		}
	} else if host != s.Host() {
		return "", false
	}
	rest, tag, tagless := cutTag(rest)
	if tagless {
		tag = "latest"
	}
	i, ok := tagged(r, rest, tag)
	return i.Digest, ok
}

func cutTag(name string) (repository, tag string, none bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 {
		return name, "", true
	}
	return name[:i], name[i+1:], false
}
