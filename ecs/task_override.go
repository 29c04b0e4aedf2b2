package ecs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	api "berth/api/ecs"
	"berth/aws"
)

// maxOverrideLength is the quota on overrides, in characters of JSON.
const maxOverrideLength = 8192

// asInvalid gives an error of the registration checks the code that RunTask uses for the same text.
func asInvalid(err error) error {
	if e, ok := errors.AsType[*aws.Error](err); ok && e.Code == codeClient {
		return invalid("%s", e.Message)
	}
	return err
}

// checkOverrides checks overrides against the definition that they are for, and returns them with roles as ARNs.
func checkOverrides(c aws.Caller, d *api.TaskDefinition, o *api.TaskOverride) (*api.TaskOverride, error) {
	if o == nil {
		return nil, nil
	}
	if raw, err := json.Marshal(o); err == nil && tooLong(string(raw), maxOverrideLength) {
		return nil, invalid("Container Overrides length must be at most %d", maxOverrideLength)
	}
	if len(o.InferenceAcceleratorOverrides) > 0 {
		return nil, notYet("overrides.inferenceAcceleratorOverrides")
	}
	if o.EphemeralStorage != nil {
		return nil, invalid("overrides.ephemeralStorage is supported only for launch type FARGATE.")
	}
	for i := range o.ContainerOverrides {
		if err := checkContainerOverride(d, &o.ContainerOverrides[i]); err != nil {
			return nil, err
		}
	}
	if _, ok := parseCPU(o.Cpu); !ok {
		return nil, asInvalid(sizeError("cpu"))
	}
	if _, ok := parseMemory(o.Memory); !ok {
		return nil, asInvalid(sizeError("memory"))
	}
	out := *o
	var err error
	if out.TaskRoleArn, err = roleARN(c, o.TaskRoleArn); err != nil {
		return nil, err
	}
	if out.ExecutionRoleArn, err = roleARN(c, o.ExecutionRoleArn); err != nil {
		return nil, err
	}
	merged := MergeOverrides(*d, &out)
	cpu, _ := parseCPU(merged.Cpu)
	memory, _ := parseMemory(merged.Memory)
	if err := checkContainerSizes(sizesOf(merged.ContainerDefinitions), cpu, memory); err != nil {
		return nil, asInvalid(err)
	}
	return &out, nil
}

func checkContainerOverride(d *api.TaskDefinition, o *api.ContainerOverride) error {
	name := value(o.Name)
	if name == "" {
		if o.Command != nil || o.Environment != nil || o.EnvironmentFiles != nil || o.Cpu != nil || o.Memory != nil ||
			o.MemoryReservation != nil || o.ResourceRequirements != nil {
			return invalid("Container override name should not be null or empty.")
		}
		return nil
	}
	if !slices.ContainsFunc(d.ContainerDefinitions, func(c api.ContainerDefinition) bool { return *c.Name == name }) {
		return invalid("Override for container named %s is not a container in the TaskDefinition.", name)
	}
	if len(o.EnvironmentFiles) > 0 {
		return notYet("environmentFiles (override of container '" + name + "')")
	}
	for _, r := range o.ResourceRequirements {
		if r.Type == api.ResourceTypeInferenceAccelerator {
			return notYet("resourceRequirements of type InferenceAccelerator (override of container '" + name + "')")
		}
	}
	if err := checkRequirements(name, o.ResourceRequirements); err != nil {
		return asInvalid(err)
	}
	return asInvalid(checkEnvironment(&api.ContainerDefinition{Name: &name, Environment: o.Environment}))
}

// MergeOverrides is the definition as the task runs it. It changes neither argument.
func MergeOverrides(d api.TaskDefinition, o *api.TaskOverride) api.TaskDefinition {
	if o == nil {
		return d
	}
	if n := normalCPU(o.Cpu); n != nil {
		d.Cpu = n
	}
	if n := normalMemory(o.Memory); n != nil {
		d.Memory = n
	}
	if o.TaskRoleArn != nil {
		d.TaskRoleArn = o.TaskRoleArn
	}
	if o.ExecutionRoleArn != nil {
		d.ExecutionRoleArn = o.ExecutionRoleArn
	}
	if len(o.ContainerOverrides) == 0 {
		return d
	}
	d.ContainerDefinitions = slices.Clone(d.ContainerDefinitions)
	for _, co := range o.ContainerOverrides {
		for i := range d.ContainerDefinitions {
			if co.Name != nil && *d.ContainerDefinitions[i].Name == *co.Name {
				mergeContainer(&d.ContainerDefinitions[i], co)
			}
		}
	}
	return d
}

func mergeContainer(c *api.ContainerDefinition, o api.ContainerOverride) {
	if len(o.Command) > 0 {
		c.Command = o.Command
	}
	if o.Cpu != nil {
		c.Cpu = o.Cpu
	}
	if o.Memory != nil {
		c.Memory = o.Memory
	}
	if o.MemoryReservation != nil {
		c.MemoryReservation = o.MemoryReservation
	}
	if len(o.ResourceRequirements) > 0 {
		c.ResourceRequirements = o.ResourceRequirements
	}
	c.Environment = mergeEnvironment(c.Environment, o.Environment)
}

func mergeEnvironment(base, over []api.KeyValuePair) []api.KeyValuePair {
	if len(over) == 0 {
		return base
	}
	out := slices.Clone(base)
	for _, e := range over {
		if i := slices.IndexFunc(out, func(have api.KeyValuePair) bool { return value(have.Name) == value(e.Name) }); i >= 0 {
			out[i] = e
			continue
		}
		out = append(out, e)
	}
	return out
}

// Merge is the definition as the task runs it, with overrides and images. It does not change its argument.
func (t Task) Merge(d api.TaskDefinition) api.TaskDefinition {
	d = MergeOverrides(d, t.Overrides)
	if len(t.Images) == 0 {
		return d
	}
	d.ContainerDefinitions = slices.Clone(d.ContainerDefinitions)
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if image := t.Images[value(c.Name)]; image != "" {
			c.Image = new(image)
		}
	}
	return d
}

// overrideHash tells definitions with different overrides or images apart; "" without either.
func overrideHash(o *api.TaskOverride, images map[string]string) string {
	if o == nil && len(images) == 0 {
		return ""
	}
	raw, err := json.Marshal(o)
	if err == nil && len(images) > 0 {
		var more []byte
		more, err = json.Marshal(images)
		raw = append(raw, more...)
	}
	if err != nil {
		panic("unreachable: a decoded override can be encoded: " + err.Error())
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// needs is what a task of the (merged) definition takes of its instance; gpus is how many devices each container
// wants.
func needs(d *api.TaskDefinition) (r Reservation, gpus map[string]int32) {
	r.CPU, _ = parseCPU(d.Cpu)
	r.Memory, _ = parseMemory(d.Memory)
	wholeCPU, wholeMemory := r.CPU > 0, r.Memory > 0
	for _, c := range sizesOf(d.ContainerDefinitions) {
		if !wholeCPU {
			r.CPU += c.cpu
		}
		if !wholeMemory {
			r.Memory += c.least()
		}
	}
	r.Ports, r.PortsUDP = hostPorts(d)
	for _, c := range d.ContainerDefinitions {
		for _, q := range c.ResourceRequirements {
			if n, _ := gpuCount(q); n > 0 {
				if gpus == nil {
					gpus = map[string]int32{}
				}
				gpus[*c.Name] = n
			}
		}
	}
	return r, gpus
}

// wireOverrides echoes overrides with an entry for every container.
func wireOverrides(d *api.TaskDefinition, o *api.TaskOverride) *api.TaskOverride {
	var out api.TaskOverride
	if o != nil {
		out = *o
	}
	given := out.ContainerOverrides
	out.ContainerOverrides = []api.ContainerOverride{}
	for _, c := range d.ContainerDefinitions {
		entry := api.ContainerOverride{Name: c.Name}
		for _, g := range given {
			if value(g.Name) == *c.Name {
				entry = g
			}
		}
		out.ContainerOverrides = append(out.ContainerOverrides, entry)
	}
	out.InferenceAcceleratorOverrides = orEmpty(out.InferenceAcceleratorOverrides)
	return &out
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
