// Package pattern is the filter pattern language of CloudWatch Logs. It is pure.
//
//	ERROR "disk full" -retry        terms: all of them, none of those with a minus
//	?ERROR ?WARN                    terms: any of them
//	%4[0-9]{2}%                     a regular expression
//	{ $.status >= 500 && $.path = "/api/*" }          properties of JSON events
//	[ip, user, ..., status = 4* || status = 5*, bytes]  fields of events that are separated by spaces
//
// Source: CloudWatch Logs user guide, filter pattern syntax.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Pattern says which messages match. It is immutable and safe for concurrent use.
type Pattern struct {
	match   func(message string) bool
	extract func(message string) map[string]string
}

// Limits on patterns. maxRegexps counts for JSON and space-delimited patterns, as at AWS.
const (
	maxDepth   = 32
	maxRegexps = 2
)

// Parse reads a pattern. The empty pattern matches everything.
func Parse(text string) (*Pattern, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("filter pattern is not valid UTF-8")
	}
	s := strings.TrimSpace(text)
	switch {
	case s == "":
		return &Pattern{match: func(string) bool { return true }}, nil
	case s[0] == '{':
		return parseJSON(s)
	case s[0] == '[':
		return parseFields(s)
	}
	return parseTerms(s)
}

// Match says whether the message matches.
func (p *Pattern) Match(message string) bool { return p.match(message) }

// Extract returns the values that a pattern names, of a message that matches: "$.status" of JSON events, "$ip" of
// fields ("$3" of a field without a name).
func (p *Pattern) Extract(message string) map[string]string {
	if p.extract == nil {
		return map[string]string{}
	}
	return p.extract(message)
}

// term is a plain term or a regular expression.
type term struct {
	text string
	re   *regexp.Regexp
}

func (t term) in(message string) bool {
	if t.re != nil {
		return t.re.MatchString(message)
	}
	return strings.Contains(message, t.text)
}

// parseTerms reads terms without structure. Terms with ? count only where there are no others.
func parseTerms(s string) (*Pattern, error) {
	var all, any, none []term
	for s = strings.TrimLeft(s, " \t\r\n"); s != ""; s = strings.TrimLeft(s, " \t\r\n") {
		into := &all
		switch {
		case len(s) > 1 && s[0] == '?':
			into, s = &any, s[1:]
		case len(s) > 1 && s[0] == '-':
			into, s = &none, s[1:]
		}
		t, rest, err := readTerm(s)
		if err != nil {
			return nil, err
		}
		*into = append(*into, t)
		s = rest
	}
	if len(all)+len(none) > 0 {
		any = nil
	}
	return &Pattern{match: func(message string) bool {
		for _, t := range all {
			if !t.in(message) {
				return false
			}
		}
		for _, t := range none {
			if t.in(message) {
				return false
			}
		}
		for _, t := range any {
			if t.in(message) {
				return true
			}
		}
		return len(any) == 0
	}}, nil
}

func readTerm(s string) (t term, rest string, err error) {
	switch {
	case s == "":
		return t, "", errors.New("a term is missing")
	case s[0] == '"':
		t.text, rest, err = readQuoted(s)
	case s[0] == '%':
		t.re, rest, err = readRegexp(s)
	default:
		n := strings.IndexAny(s, " \t\r\n")
		if n < 0 {
			n = len(s)
		}
		t.text, rest = s[:n], s[n:]
		for _, r := range t.text {
			if !isWord(r) {
				return t, "", fmt.Errorf("invalid character(s) in term '%s'", t.text)
			}
		}
	}
	if err == nil && rest != "" && !strings.ContainsRune(" \t\r\n", rune(rest[0])) {
		err = fmt.Errorf("a space is missing before '%s'", rest)
	}
	return t, rest, err
}

// isWord says whether a term may have the character without quotes.
func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= utf8.RuneSelf
}

// readQuoted reads "text" with \" and \\ inside.
func readQuoted(s string) (text, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("a closing quotation mark is missing")
}

// readRegexp reads %expression%. Parentheses and look-around are not in the language.
func readRegexp(s string) (re *regexp.Regexp, rest string, err error) {
	end := -1
	for i := 1; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			continue
		}
		if s[i] == '%' {
			end = i
			break
		}
	}
	if end < 2 {
		return nil, "", errors.New("a regular expression must stand between two percent signs")
	}
	text := s[1:end]
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			i++
			continue
		}
		if !isWord(rune(c)) && !strings.ContainsRune(":_#=@/;,-^$?[]{}|*+. ", rune(c)) || c >= utf8.RuneSelf {
			return nil, "", fmt.Errorf("invalid character(s) in regular expression '%s'", text)
		}
	}
	re, err = regexp.Compile(text)
	if err != nil {
		return nil, "", fmt.Errorf("regular expression '%s' is not valid", text)
	}
	return re, s[end+1:], nil
}

// wildcard matches s against a text in which * stands for any characters.
func wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
