package haproxy

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
)

// Render makes HAProxy's configuration of what Check finds no fault with. slots is how many server slots each group had so far, by its
// ID (see Slots). The same arguments give the same bytes; targets matter only in their number.
func Render(f Frame, m Machine, slots map[string]int) Config {
	r := &renderer{m: m, slots: slots, groups: map[string]Group{}, certificates: map[string]Certificate{}, made: map[string]bool{}, files: map[string][]byte{}}
	for _, g := range f.Groups {
		r.groups[g.ID] = g
	}
	for _, c := range f.Certificates {
		r.certificates[c.ID] = c
	}
	r.global()
	for _, lb := range f.LoadBalancers {
		for _, l := range lb.Listeners {
			r.listener(lb, l)
		}
	}
	r.times()
	slices.SortFunc(r.backends, func(a, b Backend) int { return cmp.Compare(a.Name, b.Name) })
	return Config{Text: r.text.Bytes(), Files: r.files, Backends: r.backends}
}

// renderer writes one Config.
type renderer struct {
	m            Machine
	slots        map[string]int
	groups       map[string]Group
	certificates map[string]Certificate

	text     bytes.Buffer
	files    map[string][]byte
	backends []Backend
	made     map[string]bool // names of backends that are written
	timed    []string        // backends that count how long answers take
	sole     bool            // the listener at hand has but one rule
	hits     int             // rewrites so far
}

// section begins a section; line adds to it. Arguments are written as they are: see quote.go.
func (r *renderer) section(kind, name string) { fmt.Fprintf(&r.text, "\n%s %s\n", kind, name) }
func (r *renderer) line(format string, args ...any) {
	r.text.WriteString("  ")
	fmt.Fprintf(&r.text, format, args...)
	r.text.WriteByte('\n')
}

// file keeps a file and gives the word that names it in the configuration.
func (r *renderer) file(name string, content []byte) string {
	r.files[name] = content
	return word(path.Join(r.m.Dir, name))
}

// attribute reads an attribute that is a whole number within bounds.
func attribute(attributes map[string]string, key string, least, most, otherwise int) int {
	n, err := strconv.Atoi(attributes[key])
	if err != nil {
		return otherwise
	}
	return min(max(n, least), most)
}
