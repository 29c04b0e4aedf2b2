package haproxy

import (
	"fmt"
	"strings"
)

// Nothing of a Frame gets into the configuration but through the functions of this file.
//
//	word      one word of a line, whatever is in it
//	argument  an argument in parentheses, such as of req.hdr(); the word around it still goes through word
//	format    literal text in a log-format string; same
//	template  literal text in the replacement of a regular expression; same
//	name      the name of a section or a file, from which the original can be had back

// plain are the bytes that HAProxy's tokenizer takes as they are.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + "-_./:@=+,*?^()[]|~&%<>;"

// word writes s as one word of a configuration line: as it is if nothing in it means anything to the tokenizer, in single quotes, within which
// nothing does, if it is of printable ASCII without such quotes, and else with \xHH for all that is not plain. A zero byte cannot be had: it ends the
// word in HAProxy; Sound refuses it.
func word(s string) string {
	bare, quotable := s != "", true
	for i := range len(s) {
		bare = bare && strings.IndexByte(plain, s[i]) >= 0
		quotable = quotable && s[i] >= ' ' && s[i] <= '~' && s[i] != '\''
	}
	switch {
	case bare:
		return s
	case quotable:
		return "'" + s + "'"
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

// argument writes s as an argument in parentheses: commas and parentheses in it are its own.
func argument(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// format writes s as literal text in a log-format string.
func format(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// template writes s as literal text in what replaces a match of a regular expression, which is a log-format string too.
func template(s string) string { return format(strings.ReplaceAll(s, `\`, `\\`)) }

// name writes an ID such that it may name a section, a server or a file: letters, digits and - stay, a slash becomes a colon, all
// other bytes become _HH. No two IDs have the same name.
func name(id string) string {
	var b strings.Builder
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-':
			b.WriteByte(c)
		case c == '/':
			b.WriteByte(':')
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// unname is the ID that name made s of.
func unname(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ':':
			b.WriteByte('/')
		case c == '_' && i+2 < len(s):
			var v byte
			if _, err := fmt.Sscanf(s[i+1:i+3], "%02x", &v); err == nil {
				b.WriteByte(v)
				i += 2
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
