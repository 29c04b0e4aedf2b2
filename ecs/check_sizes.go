package ecs

import (
	"math"
	"strconv"
	"strings"

	api "berth/api/ecs"
)

// Bounds of the task size outside Fargate. Source: ECS API reference, RegisterTaskDefinition.
const (
	minTaskCPU    = 128
	maxTaskCPU    = 196608
	minTaskMemory = 4
	maxTaskMemory = math.MaxInt32
)

func sizeError(what string) error {
	return clientError("Invalid '%s' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.", what)
}

// parseCPU reads a task's cpu in units: "1024", "1 vCPU", ".5 vcpu". 0 and true for absent.
func parseCPU(s *string) (int32, bool) {
	if value(s) == "" {
		return 0, true
	}
	n, ok := quantity(*s, "vcpu", 1024)
	return n, ok && n >= minTaskCPU && n <= maxTaskCPU
}

// parseMemory reads a task's memory in MiB: "512", "1 GB", ".5gb". 0 and true for absent.
func parseMemory(s *string) (int32, bool) {
	if value(s) == "" {
		return 0, true
	}
	n, ok := quantity(*s, "gb", 1024)
	return n, ok && n >= minTaskMemory
}

// quantity reads a whole number, or a decimal one with the unit, which is worth factor.
func quantity(s, unit string, factor float64) (int32, bool) {
	text, scaled := strings.CutSuffix(strings.ToLower(strings.TrimSpace(s)), unit)
	text = strings.TrimSpace(text)
	if !scaled {
		n, err := strconv.ParseInt(text, 10, 32)
		return int32(n), err == nil && n > 0
	}
	if strings.Trim(text, "0123456789.") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	n := f * factor
	if err != nil || n < 1 || n > math.MaxInt32 || n != math.Trunc(n) {
		return 0, false
	}
	return int32(n), true
}

// containerSize is what one container asks for. Memory fields are nil when not given.
type containerSize struct {
	name                string
	cpu                 int32
	memory, reservation *int32
}

// least is what placement reserves for the container's memory: the reservation if given, else the limit.
func (c containerSize) least() int32 {
	if c.reservation != nil {
		return *c.reservation
	}
	return value(c.memory)
}

func sizesOf(list []api.ContainerDefinition) []containerSize {
	out := make([]containerSize, len(list))
	for i := range list {
		c := &list[i]
		out[i] = containerSize{name: value(c.Name), cpu: value(c.Cpu), memory: c.Memory, reservation: c.MemoryReservation}
	}
	return out
}

func checkSizes(in *api.RegisterTaskDefinitionRequest) error {
	cpu, ok := parseCPU(in.Cpu)
	if !ok {
		return sizeError("cpu")
	}
	memory, ok := parseMemory(in.Memory)
	if !ok {
		return sizeError("memory")
	}
	return checkContainerSizes(sizesOf(in.ContainerDefinitions), cpu, memory)
}

// checkContainerSizes checks containers against each other and the task's size; 0 means that the task has none.
func checkContainerSizes(containers []containerSize, cpu, memory int32) error {
	var sumCPU, sumReserved int64
	for _, c := range containers {
		switch {
		case c.cpu < 0:
			return settingError(c.name, "'cpu' must not be negative.")
		case c.memory != nil && *c.memory < minMemory:
			return clientError("Invalid setting for container '%s'. 'memory' must be at least %d", c.name, minMemory)
		case c.reservation != nil && *c.reservation < 1:
			return clientError("Invalid setting for container '%s'. 'memoryReservation' must be at least 1", c.name)
		case c.memory != nil && c.reservation != nil && *c.reservation > *c.memory:
			return settingError(c.name, "The 'memory' value must be greater than or equal to the 'memoryReservation' value.")
		case memory == 0 && c.memory == nil && c.reservation == nil:
			return settingError(c.name, "At least one of 'memory' or 'memoryReservation' must be specified.")
		case memory > 0 && value(c.memory) > memory:
			return clientError("The 'memory' setting for container '%s' is greater than for the task.", c.name)
		}
		sumCPU += int64(c.cpu)
		sumReserved += int64(value(c.reservation))
	}
	if memory > 0 && sumReserved > int64(memory) {
		return clientError("The sum of all container 'memoryReservation' values cannot be greater than the value of the task 'memory'.")
	}
	if cpu > 0 && sumCPU > int64(cpu) {
		return clientError("The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.")
	}
	return nil
}

// fargateSize says whether Fargate has the size. Source: section "Fargate task sizes" of the developer guide.
func fargateSize(cpu, memory int32) bool {
	var low, high, step int32
	switch cpu {
	case 256:
		return memory == 512 || memory == 1024 || memory == 2048
	case 512:
		low, high, step = 1024, 4096, 1024
	case 1024:
		low, high, step = 2048, 8192, 1024
	case 2048:
		low, high, step = 4096, 16384, 1024
	case 4096:
		low, high, step = 8192, 30720, 1024
	case 8192:
		low, high, step = 16384, 61440, 4096
	case 16384:
		low, high, step = 32768, 122880, 8192
	default:
		return false
	}
	return memory >= low && memory <= high && (memory-low)%step == 0
}
