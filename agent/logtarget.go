package agent

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	ecs "berth/api/ecs"
)

// Where a container's output goes. The monitor always writes it to a file first, so that no container ever waits
// for a log store; the file is rotated, and what bounds the bytes that are kept depends on the driver:
//
//	awslogs, non-blocking  max-buffer-size of output not yet stored, 64 MiB when not given
//	awslogs, blocking      1 GiB of output not yet stored
//	json-file              max-size times max-file, 64 MiB and one file when not given
//
// Beyond the bound the oldest output is dropped, and counted.
// Differs: in blocking mode ECS makes the container wait when its log store does not answer; here the bound of 1 GiB
// stands in for that, because a log store that is down must not stop anyone's work.
type logTarget struct {
	Task   string        `json:"task"`
	ID     string        `json:"id"`
	Driver ecs.LogDriver `json:"driver"`
	Region string        `json:"region,omitzero"`
	Group  string        `json:"group,omitzero"`
	Stream string        `json:"stream,omitzero"`
	Create bool          `json:"create,omitzero"`
	Begins string        `json:"begins,omitzero"` // pattern of a line that begins an event
	Keep   int64         `json:"keep"`            // bytes of closed files to keep
	Rotate int64         `json:"rotate"`          // size at which a file is closed
}

// Bounds of kept output.
const (
	defaultBuffer  = 64 << 20
	blockingBuffer = 1 << 30
	smallestFile   = 1 << 20
	largestFile    = 64 << 20
	driverNone     = ecs.LogDriver("none")
)

// logTarget reads the container's log configuration. Without one the output is kept as with json-file.
func (r *runner) logTarget(c *container) (logTarget, error) {
	t := logTarget{Task: r.arn, ID: c.ID, Driver: ecs.LogDriverJsonFile}
	conf := r.t.definition(c.Name).LogConfiguration
	if conf == nil {
		conf = &ecs.LogConfiguration{LogDriver: ecs.LogDriverJsonFile}
	}
	t.Driver = conf.LogDriver
	var err error
	switch conf.LogDriver {
	case ecs.LogDriverAwslogs:
		err = t.awslogs(c, conf.Options)
	case ecs.LogDriverJsonFile:
		err = t.jsonFile(conf.Options)
	case driverNone:
	default:
		err = fmt.Errorf("logger: no log driver named '%s' is registered", conf.LogDriver)
	}
	if err != nil {
		return t, &Error{Name: "CannotStartContainerError", Detail: "failed to initialize logging driver: " + err.Error(), Err: err}
	}
	return t, nil
}

func (t *logTarget) awslogs(c *container, o map[string]string) error {
	t.Group, t.Region = o["awslogs-group"], o["awslogs-region"]
	if t.Group == "" {
		return fmt.Errorf("must specify a value for log opt 'awslogs-group'")
	}
	t.Stream = c.ID
	if prefix := o["awslogs-stream-prefix"]; prefix != "" {
		t.Stream = prefix + "/" + c.Name + "/" + taskID(t.Task)
	}
	var err error
	if t.Create, err = strconv.ParseBool(cmp.Or(o["awslogs-create-group"], "false")); err != nil {
		return fmt.Errorf("must specify valid value for log opt 'awslogs-create-group': %w", err)
	}
	var begins *regexp.Regexp
	switch pattern, format := o["awslogs-multiline-pattern"], o["awslogs-datetime-format"]; {
	case pattern != "" && format != "":
		return fmt.Errorf("you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time")
	case pattern != "":
		begins, err = regexp.Compile(pattern)
	case format != "":
		begins, err = datetimePattern(format)
	}
	if err != nil {
		return fmt.Errorf("awslogs could not parse multiline pattern: %w", err)
	}
	if begins != nil {
		t.Begins = begins.String()
	}
	t.Keep = defaultBuffer
	if o["mode"] == "blocking" {
		t.Keep = blockingBuffer
	} else if s := o["max-buffer-size"]; s != "" {
		if t.Keep, err = byteSize(s); err != nil {
			return err
		}
	}
	t.Rotate = min(max(t.Keep/2, smallestFile), largestFile)
	return nil
}

func (t *logTarget) jsonFile(o map[string]string) error {
	t.Rotate = largestFile
	var err error
	if s := o["max-size"]; s != "" {
		if t.Rotate, err = byteSize(s); err != nil {
			return err
		}
	}
	if s := o["max-file"]; s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("invalid value for max-file: %s", s)
		}
		t.Keep = int64(n-1) * t.Rotate
	}
	return nil
}

// byteSize reads a size such as 10m.
func byteSize(s string) (int64, error) {
	number, shift := strings.ToLower(s), 0
	number = strings.TrimSuffix(number, "b")
	for i, unit := range []string{"k", "m", "g"} {
		if n, ok := strings.CutSuffix(number, unit); ok {
			number, shift = n, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("invalid size: '%s'", s)
	}
	return n << shift, nil
}

// logPath is the file that the container's monitor writes.
func (c *Config) logPath(id string) string { return filepath.Join(c.logsDir(), id, currentLog) }
