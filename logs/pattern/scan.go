package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// scanner walks over the text of a JSON or space-delimited pattern.
type scanner struct {
	s       string
	regexps int
	depth   int
}

func (s *scanner) space() { s.s = strings.TrimLeft(s.s, " \t\r\n") }

// take consumes the token if it comes next.
func (s *scanner) take(token string) bool {
	s.space()
	if !strings.HasPrefix(s.s, token) {
		return false
	}
	s.s = s.s[len(token):]
	return true
}

func (s *scanner) need(token string) error {
	if !s.take(token) {
		return fmt.Errorf("expected '%s' at '%s'", token, s.s)
	}
	return nil
}

// takeWord consumes the word, in any case, if it comes next and ends there.
func (s *scanner) takeWord(word string) bool {
	s.space()
	if len(s.s) < len(word) || !strings.EqualFold(s.s[:len(word)], word) {
		return false
	}
	if rest := s.s[len(word):]; rest != "" && isWord(rune(rest[0])) {
		return false
	}
	s.s = s.s[len(word):]
	return true
}

func (s *scanner) operator() (string, error) {
	for _, op := range []string{"!=", "<=", ">=", "=", "<", ">"} {
		if s.take(op) {
			return op, nil
		}
	}
	return "", fmt.Errorf("expected a comparison at '%s'", s.s)
}

// literal is the right side of a comparison.
type literal struct {
	text   string
	quoted bool
	number *float64 // of an unquoted number
	re     *regexp.Regexp
}

// literal reads a quoted text, a regular expression, or what stands before the next of stop, a space, && or ||.
func (s *scanner) literal(stop string) (l literal, err error) {
	s.space()
	switch {
	case strings.HasPrefix(s.s, `"`):
		l.quoted = true
		l.text, s.s, err = readQuoted(s.s)
		return l, err
	case strings.HasPrefix(s.s, "%"):
		if s.regexps++; s.regexps > maxRegexps {
			return l, fmt.Errorf("a pattern may have %d regular expressions", maxRegexps)
		}
		l.re, s.s, err = readRegexp(s.s)
		return l, err
	}
	n := strings.IndexAny(s.s, " \t\r\n"+stop)
	if n < 0 {
		n = len(s.s)
	}
	for _, op := range []string{"&&", "||"} {
		if i := strings.Index(s.s[:n], op); i >= 0 {
			n = i
		}
	}
	if l.text = s.s[:n]; l.text == "" {
		return l, errors.New("a value is missing")
	}
	if strings.ContainsAny(l.text, `"=<>!{}`) {
		return l, fmt.Errorf("invalid character(s) in term '%s'", l.text)
	}
	s.s = s.s[n:]
	if f, ok := parseNumber(l.text); ok {
		l.number = &f
	}
	return l, nil
}

// parseNumber reads a decimal number as JSON writes it, with an optional plus.
func parseNumber(s string) (float64, bool) {
	if s == "" || !strings.ContainsRune("+-.0123456789", rune(s[0])) || strings.ContainsAny(s, "xXpP_iInN") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// compare applies op to a value that is a text, or a number where isNumber is set.
func (l literal) compare(op, text string, isNumber bool) bool {
	switch op {
	case "=":
		return l.equal(text, isNumber)
	case "!=":
		return !l.equal(text, isNumber)
	}
	f, ok := parseNumber(text)
	if !ok || l.number == nil {
		return false
	}
	switch op {
	case "<":
		return f < *l.number
	case "<=":
		return f <= *l.number
	case ">":
		return f > *l.number
	default:
		return f >= *l.number
	}
}

func (l literal) equal(text string, isNumber bool) bool {
	if l.re != nil {
		return l.re.MatchString(text)
	}
	if l.number != nil && isNumber {
		f, ok := parseNumber(text)
		return ok && f == *l.number
	}
	return wildcard(l.text, text)
}

// ordered says whether op needs numbers.
func ordered(op string) bool { return op != "=" && op != "!=" }

func (s *scanner) enter() error {
	if s.depth++; s.depth > maxDepth {
		return errors.New("the pattern is nested too deeply")
	}
	return nil
}
