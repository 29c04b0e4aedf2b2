package pattern

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// condition is a tree of comparisons over the decoded event.
type condition func(event any) bool

// step goes from a value to one of its parts: a property, an element, or all of them.
type step struct {
	name  string
	index int
	kind  byte // '.' property, '[' element, '*' every element or property
}

type selector struct {
	text  string
	steps []step
}

func parseJSON(text string) (*Pattern, error) {
	p := &jsonParser{scanner: scanner{s: text[1:]}}
	c, err := p.or()
	if err != nil {
		return nil, err
	}
	if err := p.need("}"); err != nil {
		return nil, err
	}
	if p.space(); p.s != "" {
		return nil, fmt.Errorf("unexpected '%s' behind the pattern", p.s)
	}
	return &Pattern{
		match: func(message string) bool {
			event, ok := decodeEvent(message)
			return ok && c(event)
		},
		extract: func(message string) map[string]string {
			out := map[string]string{}
			event, ok := decodeEvent(message)
			for _, sel := range p.selectors {
				for v := range sel.values(event) {
					if ok {
						out[sel.text], _, _ = scalar(v)
					}
				}
			}
			return out
		},
	}, nil
}

func decodeEvent(message string) (any, bool) {
	message = strings.TrimSpace(message)
	if message == "" || message[0] != '{' && message[0] != '[' {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(message))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	return v, !d.More()
}

type jsonParser struct {
	scanner
	selectors []selector
}

func (p *jsonParser) or() (condition, error) {
	left, err := p.and()
	for err == nil && p.take("||") {
		var right condition
		l := left
		right, err = p.and()
		left = func(e any) bool { return l(e) || right(e) }
	}
	return left, err
}

func (p *jsonParser) and() (condition, error) {
	left, err := p.primary()
	for err == nil && p.take("&&") {
		var right condition
		l := left
		right, err = p.primary()
		left = func(e any) bool { return l(e) && right(e) }
	}
	return left, err
}

func (p *jsonParser) primary() (condition, error) {
	if p.take("(") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		c, err := p.or()
		if err != nil {
			return nil, err
		}
		p.depth--
		return c, p.need(")")
	}
	sel, err := p.selector()
	if err != nil {
		return nil, err
	}
	p.selectors = append(p.selectors, sel)
	switch {
	case p.takeWord("IS"):
		return p.is(sel)
	case p.takeWord("NOT"):
		if !p.takeWord("EXISTS") {
			return nil, fmt.Errorf("expected EXISTS behind NOT at '%s'", p.s)
		}
		return func(e any) bool { return !sel.any(e, func(any) bool { return true }) }, nil
	case p.takeWord("EXISTS"):
		return func(e any) bool { return sel.any(e, func(any) bool { return true }) }, nil
	}
	op, err := p.operator()
	if err != nil {
		return nil, err
	}
	l, err := p.literal("(){}&|")
	if err != nil {
		return nil, err
	}
	if ordered(op) && l.number == nil {
		return nil, fmt.Errorf("'%s' needs a number", op)
	}
	return func(e any) bool {
		return sel.any(e, func(v any) bool {
			text, isNumber, ok := scalar(v)
			return ok && (!l.quoted || !isNumber || op == "!=" || l.text == text) && l.compare(op, text, isNumber)
		})
	}, nil
}

func (p *jsonParser) is(sel selector) (condition, error) {
	not := p.takeWord("NOT")
	var want any
	switch {
	case p.takeWord("NULL"):
		want = nil
	case p.takeWord("TRUE"):
		want = true
	case p.takeWord("FALSE"):
		want = false
	default:
		return nil, fmt.Errorf("expected NULL, TRUE or FALSE behind IS at '%s'", p.s)
	}
	return func(e any) bool { return sel.any(e, func(v any) bool { return (v == want) != not && comparable(v) }) }, nil
}

// comparable keeps == from panicking on maps and lists, which equal none of NULL, TRUE and FALSE.
func comparable(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// selector reads $.a.b[0].c, $.a[*], $['a b'].c.
func (p *jsonParser) selector() (sel selector, err error) {
	p.space()
	start := p.s
	if !strings.HasPrefix(p.s, "$") {
		return sel, fmt.Errorf("a selector must begin with '$' at '%s'", p.s)
	}
	p.s = p.s[1:]
	for p.s != "" {
		var st step
		switch p.s[0] {
		case '.':
			st, err = p.property()
		case '[':
			st, err = p.element()
		default:
			sel.text = start[:len(start)-len(p.s)]
			if len(sel.steps) == 0 {
				return sel, errors.New("a selector must name a property")
			}
			return sel, nil
		}
		if err != nil {
			return sel, err
		}
		sel.steps = append(sel.steps, st)
	}
	return sel, errors.New("the closing brace is missing")
}

func (p *jsonParser) property() (step, error) {
	p.s = p.s[1:]
	if strings.HasPrefix(p.s, "[") {
		return p.element()
	}
	n := 0
	for n < len(p.s) && (isWord(rune(p.s[n])) || p.s[n] == '-' || p.s[n] == '@' || p.s[n] == '/' || p.s[n] == '*' || p.s[n] == ':') {
		n++
	}
	name := p.s[:n]
	if name == "" {
		return step{}, fmt.Errorf("a property's name is missing at '%s'", p.s)
	}
	p.s = p.s[n:]
	if name == "*" {
		return step{kind: '*'}, nil
	}
	return step{kind: '.', name: name}, nil
}

func (p *jsonParser) element() (step, error) {
	p.s = p.s[1:]
	end := strings.IndexByte(p.s, ']')
	if end >= 0 && (strings.HasPrefix(p.s, "'") || strings.HasPrefix(p.s, `"`)) {
		if q := strings.IndexByte(p.s[1:], p.s[0]); q >= 0 && strings.HasPrefix(p.s[q+2:], "]") {
			name := p.s[1 : q+1]
			p.s = p.s[q+3:]
			return step{kind: '.', name: name}, nil
		}
	}
	if end < 0 {
		return step{}, errors.New("a closing bracket is missing")
	}
	text := strings.TrimSpace(p.s[:end])
	p.s = p.s[end+1:]
	if text == "*" {
		return step{kind: '*'}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return step{}, fmt.Errorf("'%s' is not the number of an element", text)
	}
	return step{kind: '[', index: n}, nil
}

// any says whether a value that the selector reaches passes the test.
func (sel selector) any(event any, test func(any) bool) bool {
	for v := range sel.values(event) {
		if test(v) {
			return true
		}
	}
	return false
}

// values yields what the selector reaches in the event.
func (sel selector) values(event any) func(yield func(any) bool) {
	return func(yield func(any) bool) { walk(event, sel.steps, yield) }
}

func walk(v any, steps []step, yield func(any) bool) bool {
	if len(steps) == 0 {
		return yield(v)
	}
	st, rest := steps[0], steps[1:]
	switch v := v.(type) {
	case map[string]any:
		if st.kind == '.' {
			if next, ok := v[st.name]; ok {
				return walk(next, rest, yield)
			}
		} else if st.kind == '*' {
			for _, next := range v {
				if !walk(next, rest, yield) {
					return false
				}
			}
		}
	case []any:
		if st.kind == '[' && st.index < len(v) {
			return walk(v[st.index], rest, yield)
		} else if st.kind == '*' {
			for _, next := range v {
				if !walk(next, rest, yield) {
					return false
				}
			}
		}
	}
	return true
}

// scalar gives the text that a comparison sees.
func scalar(v any) (text string, isNumber, ok bool) {
	switch v := v.(type) {
	case string:
		return v, false, true
	case json.Number:
		return v.String(), true, true
	case bool:
		return strconv.FormatBool(v), false, true
	}
	return "", false, false
}
