package ecs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"berth/store"
)

// attributeLostAfter is the attribute of a container instance that says for how long its agent may be silent until services
// replace the tasks on it: a duration such as 90s or 1h, or never, which is the way of ECS. Set by: the agent's --attributes, PutAttributes.
const attributeLostAfter = "berth.lost-after"

const (
	defaultLostAfter = 5 * time.Minute
	// neverLost is the value of attributeLostAfter with which services wait for the machine.
	neverLost = "never"

	// The brake on a loss of many machines: when more than brakePercent of a zone's machines, and at least brakeLeast, have gone silent within
	// brakeWindow, it is more likely a line, a switch or the control plane's own network than the machines, and the rest would
	// not bear the load. With fewer machines a percentage says nothing.
	brakePercent = 55
	brakeWindow  = time.Minute
	brakeLeast   = 3
)

// parseLostAfter reads the attribute's value. ever is false for never.
func parseLostAfter(text string) (after time.Duration, ever bool, err error) {
	switch text {
	case "":
		return defaultLostAfter, true, nil
	case neverLost:
		return 0, false, nil
	}
	after, err = time.ParseDuration(text)
	if err != nil || after <= 0 {
		return 0, false, invalid("Invalid value '%s' of attribute '%s': a duration such as 90s or 1h, or %s.", text, attributeLostAfter, neverLost)
	}
	return after, true, nil
}

// silence is since when nothing has been heard of a machine that is not connected.
func (c ContainerInstance) silence() Millis { return cmp.Or(c.Silent, c.LastSeen, c.Registered) }

// lostAt is when services replace the tasks on a machine that is silent; zero: never. A control plane that has just started gives
// machines the whole time to come back, since they may have looked for it while it was away.
func (c ContainerInstance) lostAt(attributes map[string]string, started time.Time) time.Time {
	after, ever, err := parseLostAfter(attributes[attributeLostAfter])
	if err != nil {
		after, ever = defaultLostAfter, true // an agent's word of an earlier version
	}
	if c.Connected || !ever {
		return time.Time{}
	}
	since := c.silence().Time()
	if since.Before(started) {
		since = started
	}
	return since.Add(after)
}

// LostAt is when services replace the tasks on a machine that is silent; zero: not before it is heard of or deregistered.
func (s *Service) LostAt(r store.Reader, c ContainerInstance) time.Time {
	d, _ := InstanceDescriptions.Get(r, c.Key())
	return c.lostAt(d.attributes(), s.since)
}

// Brake says that many machines of a zone went silent at once, so that the tasks on those are not replaced. It ends when enough of them
// are back or were deregistered.
type Brake struct {
	Cluster   string // name
	Zone      string
	Lost, Of  int             // machines that went silent within a minute, and all of the zone
	instances map[string]bool // keys of those that are silent
	since     []Millis        // since when they are
}

// Text is one sentence.
func (b Brake) Text() string {
	return fmt.Sprintf("%d of %d container instances in %s were lost within a minute: their tasks are not replaced until some are back or are deregistered",
		b.Lost, b.Of, b.Zone)
}

// Brakes are the zones of a cluster of which too much was lost at once, by name.
func Brakes(r store.Reader, cluster string) (out []Brake) {
	zones := map[string]*Brake{}
	for c := range ContainerInstances.By(r, byInstanceStatus, instanceStatusKey(cluster, anyStatus)) {
		zone := ZoneOf(r, c)
		b := zones[zone]
		if b == nil {
			b = &Brake{Cluster: c.Cluster, Zone: zone, instances: map[string]bool{}}
			zones[zone] = b
		}
		if b.Of++; !c.Connected {
			b.instances[c.Key()] = true
			b.since = append(b.since, c.silence())
		}
	}
	for _, b := range zones {
		if b.on() {
			out = append(out, *b)
		}
	}
	slices.SortFunc(out, func(a, b Brake) int { return cmp.Compare(a.Zone, b.Zone) })
	return out
}

// on finds the minute in which most machines went silent, and says whether those are too many.
func (b *Brake) on() bool {
	slices.Sort(b.since)
	first := 0
	for last, at := range b.since {
		for at.Time().Sub(b.since[first].Time()) > brakeWindow {
			first++
		}
		b.Lost = max(b.Lost, last-first+1)
	}
	return b.Lost >= brakeLeast && b.Lost*100 > b.Of*brakePercent
}

// silentAt says of the machine of a task that has gone silent when it counts as lost (zero: never), and whether a brake holds its tasks.
func (p *pass) silentAt(m *host) (lost time.Time, braked bool) {
	if m.c.ID == "" || m.c.Connected || p.v.Daemon { // a daemon's tasks have no other place
		return time.Time{}, false
	}
	if !p.braked {
		r := p.r
		if p.s != nil {
			r = p.s.store.Read() // not the transaction: it would clash with every change of a machine
		}
		p.brakes, p.braked = Brakes(r, p.v.ClusterKey()), true
	}
	for _, b := range p.brakes {
		if b.instances[m.c.Key()] {
			p.braking[b.Zone] = b
			return time.Time{}, true
		}
	}
	return m.c.lostAt(m.attributes, p.since), false
}

// reportBrakes writes an event when a brake begins to hold tasks of the service.
func (p *pass) reportBrakes() {
	for _, zone := range slices.Sorted(maps.Keys(p.braking)) {
		p.note(noteBrake+zone, "", "has paused the replacement of tasks: %s.", p.braking[zone].Text())
	}
	p.v.Notes = slices.DeleteFunc(p.v.Notes, func(n ServiceNote) bool {
		zone, ok := strings.CutPrefix(n.Kind, noteBrake)
		return ok && p.braking[zone].Lost == 0
	})
}

// silent says of a task on a machine that has gone silent what becomes of it; empty if its machine is connected.
func (p *pass) silent(t *Task) string {
	m := p.machine(t.Instance)
	if m.c.ID == "" || m.c.Connected {
		return ""
	}
	out := fmt.Sprintf("nothing has been heard of its container instance %s since %s", t.Instance, m.c.silence().Time().UTC().Format(time.RFC3339))
	lost, braked := p.silentAt(m)
	switch {
	case braked:
		return out + ", nor of many others in its zone"
	case lost.IsZero():
		return out + ": it is waited for"
	}
	return out + ": it is replaced at " + lost.UTC().Format(time.RFC3339)
}
