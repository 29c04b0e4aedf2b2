package pattern

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// field is one place of a space-delimited pattern. test is nil where any value will do.
type field struct {
	name string
	test func(value string) bool
}

// parseFields reads [ip, user, ..., status = 4*, bytes].
func parseFields(text string) (*Pattern, error) {
	p := &fieldParser{scanner: scanner{s: text[1:]}}
	var fields []field
	ellipsis := -1
	for {
		if p.take("...") {
			if ellipsis >= 0 {
				return nil, errors.New("a pattern may have one '...'")
			}
			ellipsis = len(fields)
		} else {
			f, err := p.field()
			if err != nil {
				return nil, err
			}
			fields = append(fields, f)
		}
		if p.take("]") {
			break
		}
		if err := p.need(","); err != nil {
			return nil, err
		}
	}
	if p.space(); p.s != "" {
		return nil, fmt.Errorf("unexpected '%s' behind the pattern", p.s)
	}
	return &Pattern{
		match: func(message string) bool {
			values, ok := align(fields, ellipsis, message)
			if !ok {
				return false
			}
			for i, f := range fields {
				if f.test != nil && !f.test(values[i]) {
					return false
				}
			}
			return true
		},
		extract: func(message string) map[string]string {
			out := map[string]string{}
			values, ok := align(fields, ellipsis, message)
			for i, f := range fields {
				if ok {
					out[f.label(i)] = values[i]
				}
			}
			return out
		},
	}, nil
}

func (f field) label(i int) string {
	if f.name != "" {
		return "$" + f.name
	}
	return "$" + strconv.Itoa(i+1)
}

// align gives each field its value; the ellipsis stands for any number of values.
func align(fields []field, ellipsis int, message string) ([]string, bool) {
	values := split(message)
	if ellipsis < 0 {
		return values, len(values) == len(fields)
	}
	if len(values) < len(fields) {
		return nil, false
	}
	tail := len(fields) - ellipsis
	return append(values[:ellipsis:ellipsis], values[len(values)-tail:]...), true
}

// split cuts a message at spaces; what stands in quotation marks or brackets is one value, without them.
func split(message string) []string {
	var out []string
	for {
		message = strings.TrimLeft(message, " \t\r\n")
		if message == "" {
			return out
		}
		var closing byte
		switch message[0] {
		case '"':
			closing = '"'
		case '[':
			closing = ']'
		}
		if closing != 0 {
			if end := strings.IndexByte(message[1:], closing); end >= 0 {
				out = append(out, message[1:end+1])
				message = message[end+2:]
				continue
			}
		}
		end := strings.IndexAny(message, " \t\r\n")
		if end < 0 {
			return append(out, message)
		}
		out = append(out, message[:end])
		message = message[end:]
	}
}

type fieldParser struct{ scanner }

// field reads a name, a comparison, or comparisons of one field joined by && and ||.
func (p *fieldParser) field() (field, error) {
	p.space()
	f := field{}
	test, err := p.or(&f)
	f.test = test
	return f, err
}

func (p *fieldParser) or(f *field) (func(string) bool, error) {
	left, err := p.and(f)
	for err == nil && p.take("||") {
		var right func(string) bool
		l := left
		if right, err = p.and(f); err == nil && (l == nil || right == nil) {
			err = errors.New("|| needs comparisons on both sides")
		}
		left = func(v string) bool { return l(v) || right(v) }
	}
	return left, err
}

func (p *fieldParser) and(f *field) (func(string) bool, error) {
	left, err := p.primary(f)
	for err == nil && p.take("&&") {
		var right func(string) bool
		l := left
		if right, err = p.primary(f); err == nil && (l == nil || right == nil) {
			err = errors.New("&& needs comparisons on both sides")
		}
		left = func(v string) bool { return l(v) && right(v) }
	}
	return left, err
}

func (p *fieldParser) primary(f *field) (func(string) bool, error) {
	if p.take("(") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		test, err := p.or(f)
		if err != nil {
			return nil, err
		}
		p.depth--
		return test, p.need(")")
	}
	p.space()
	n := 0
	for n < len(p.s) && (isWord(rune(p.s[n])) || p.s[n] == '-' || p.s[n] == '.' && !strings.HasPrefix(p.s[n:], "...")) {
		n++
	}
	name := p.s[:n]
	p.s = p.s[n:]
	if name != "" {
		if f.name != "" && f.name != name {
			return nil, fmt.Errorf("field '%s' is compared under the name '%s'", f.name, name)
		}
		f.name = name
	}
	p.space()
	if p.s == "" {
		return nil, errors.New("the closing bracket is missing")
	}
	if name != "" && strings.ContainsRune(",]&|)", rune(p.s[0])) {
		return nil, nil
	}
	op, err := p.operator()
	if err != nil {
		return nil, err
	}
	l, err := p.literal(",]()")
	if err != nil {
		return nil, err
	}
	if ordered(op) && l.number == nil {
		return nil, fmt.Errorf("'%s' needs a number", op)
	}
	return func(v string) bool {
		_, isNumber := parseNumber(v)
		return l.compare(op, v, isNumber && !l.quoted)
	}, nil
}
