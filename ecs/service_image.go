package ecs

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/store"
)

// ResolveImage finds the digest that an image's tag names now. It is not ok for images of registries that it does not know, and if
// the tag is not there.
type ResolveImage func(r store.Reader, image string) (digest string, ok bool)

// pinnable says whether the tag of a container's image is to be replaced by a digest for the tasks of a service.
func pinnable(c *api.ContainerDefinition) bool {
	return c.VersionConsistency != api.VersionConsistencyDisabled && digestIn(value(c.Image)) == ""
}

// digestIn is the digest in an image's name; empty without one.
func digestIn(image string) Digest {
	_, digest, _ := strings.Cut(image, "@")
	return Digest(digest)
}

// resolve pins the images of a new deployment to what their tags name now. Those of other registries are pinned to what the
// first task reports. The deployment may not be there: not every update starts one.
func (s *Service) resolve(tx *store.Tx, key string) {
	d, ok := Deployments.Get(tx, key)
	if !ok || s.image == nil {
		return
	}
	definition, _ := TaskDefinitions.Get(tx, d.DefinitionKey())
	pins := map[string]Digest{}
	for i := range definition.Definition.ContainerDefinitions {
		c := &definition.Definition.ContainerDefinitions[i]
		if !pinnable(c) {
			continue
		}
		if digest, ok := s.image(tx, value(c.Image)); ok {
			pins[*c.Name] = Digest(digest)
		}
	}
	if len(pins) > 0 {
		d.Pins = pins
		Deployments.Put(tx, d)
	}
}

// learn pins those images of the task's deployment that are not pinned yet to what the task runs.
func (p *pass) learn(t *Task) {
	d := p.live[t.deployment()]
	if d == nil {
		return
	}
	for i := range t.Containers {
		c := &t.Containers[i]
		if c.Digest == "" || d.Pins[c.Name] != "" {
			continue
		}
		definition := definitionOf(&p.definition(t.DefinitionKey()).Definition, c.Name)
		if definition.Image == nil || !pinnable(&definition) {
			continue
		}
		pins := map[string]Digest{c.Name: c.Digest}
		maps.Copy(pins, d.Pins)
		d.Pins = pins
	}
}

// pin gives a new task the images of its deployment.
func (p *pass) pin(t *Task) {
	d := p.live[t.deployment()]
	if d == nil {
		return
	}
	for i := range t.Containers {
		c := &t.Containers[i]
		if digest := d.Pins[c.Name]; digest != "" {
			c.Digest, c.Pinned = digest, true
		}
	}
}

// pinned is the definition with the images that the task's containers are pinned to. It does not change its argument.
func (t Task) pinned(d api.TaskDefinition) api.TaskDefinition {
	if t.pinHash() == "" {
		return d
	}
	d.ContainerDefinitions = slices.Clone(d.ContainerDefinitions)
	for i := range d.ContainerDefinitions {
		of := &d.ContainerDefinitions[i]
		for _, c := range t.Containers {
			if c.Pinned && c.Name == value(of.Name) {
				of.Image = new(repositoryOf(value(of.Image)) + "@" + string(c.Digest))
			}
		}
	}
	return d
}

// pinHash tells definitions with different digests apart; empty without any.
func (t Task) pinHash() string {
	var pins strings.Builder
	for _, c := range t.Containers {
		if c.Pinned {
			pins.WriteString(c.Name + "@" + string(c.Digest) + "\n")
		}
	}
	if pins.Len() == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(pins.String()))
	return hex.EncodeToString(sum[:8])
}

// images are the images of the deployment as a service revision shows them.
func (d Deployment) images(definition api.TaskDefinition) []api.ContainerImage {
	out := []api.ContainerImage{}
	for i := range definition.ContainerDefinitions {
		c := &definition.ContainerDefinitions[i]
		shown := api.ContainerImage{ContainerName: c.Name, Image: c.Image}
		digest := d.Pins[value(c.Name)]
		if digest == "" {
			digest = digestIn(value(c.Image))
		}
		if digest != "" {
			shown.ImageDigest = new(string(digest))
		}
		out = append(out, shown)
	}
	return out
}

// ImageInUse says whether a task that is not STOPPED runs the image with the digest, or a service still starts tasks of it.
func ImageInUse(r store.Reader, digest string) bool {
	for t := range Tasks.All(r) {
		if t.Active() && slices.ContainsFunc(t.Containers, func(c TaskContainer) bool { return string(c.Digest) == digest }) {
			return true
		}
	}
	for d := range Deployments.All(r) {
		v, ok := Services.Get(r, d.ServiceKey())
		if !ok || v.Ended != 0 || d.Gone && d.Number != v.Completed {
			continue
		}
		for _, pin := range d.Pins {
			if string(pin) == digest {
				return true
			}
		}
	}
	return false
}
