package haproxy

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// wildcards makes a regular expression of a value with * and ?, matching all of the text. Every other character stands for itself; \* and \? are the
// characters. whole says that there are no wildcards: then text is what to compare with.
func wildcards(value string) (pattern, text string, whole bool) {
	var b, t strings.Builder
	whole = true
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '*':
			b.WriteString(".*")
			whole = false
		case c == '?':
			b.WriteByte('.')
			whole = false
		default:
			if c == '\\' && i+1 < len(value) && (value[i+1] == '*' || value[i+1] == '?') {
				i++
				c = value[i]
			}
			b.WriteString(literal(c))
			t.WriteByte(c)
		}
	}
	return "^" + b.String() + "$", t.String(), whole
}

// queryPattern matches a query string that has the key with the value; an empty key is any key. A character of a query may be written as %HH,
// a space as +.
func queryPattern(p Pair) string {
	key := "[^&=]*"
	if p.Key != "" {
		key = queryPart(p.Key, "[^&=]")
	}
	if p.Key == "" {
		return "(?:^|&)(?:" + key + "=)?" + queryPart(p.Value, "[^&]") + "(?:&|$)"
	}
	return "(?:^|&)" + key + "=" + queryPart(p.Value, "[^&]") + "(?:&|$)"
}

func queryPart(value, any string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '*':
			b.WriteString(any + "*")
		case c == '?':
			b.WriteString("(?:%[0-9a-fA-F]{2}|" + any + ")")
		default:
			if c == '\\' && i+1 < len(value) && (value[i+1] == '*' || value[i+1] == '?') {
				i++
				c = value[i]
			}
			if c == ' ' {
				b.WriteString(`(?:\+|%20)`)
			} else {
				fmt.Fprintf(&b, `(?:%s|%%%02x`, literal(c), c)
				if letter := c | 0x20; letter >= 'a' && letter <= 'z' {
					fmt.Fprintf(&b, `|%%%02x`, c^0x20)
				}
				b.WriteByte(')')
			}
		}
	}
	return b.String()
}

// literal is the regular expression of one byte.
func literal(c byte) string {
	if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '/' || c == '_' || c == '-' {
		return string(rune(c))
	}
	return fmt.Sprintf(`\x%02x`, c)
}

// regex turns a regular expression of a user into one for HAProxy's PCRE2 and tells how many groups it captures. It is parsed
// here and written anew, so HAProxy never refuses it. Lookaround and backreferences are refused, as are classes that have some characters
// beyond ASCII but not all: HAProxy compares bytes.
func regex(s string) (out string, captures int, err error) {
	re, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return "", 0, err
	}
	p := regexPrinter{}
	p.print(re)
	if p.err == nil && p.b.Len() > 16384 {
		p.err = fmt.Errorf("the expression is too large")
	}
	return p.b.String(), re.MaxCap(), p.err
}

type regexPrinter struct {
	b   strings.Builder
	err error
}

func (p *regexPrinter) print(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpNoMatch:
		p.b.WriteString("(?!)")
	case syntax.OpEmptyMatch:
		p.b.WriteString("(?:)")
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			p.literal(r, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		p.class(re.Rune)
	case syntax.OpAnyCharNotNL:
		p.b.WriteString(`[^\x0a]`)
	case syntax.OpAnyChar:
		p.b.WriteString(`[\x00-\xff]`)
	case syntax.OpBeginLine:
		p.b.WriteString(`(?m:^)`)
	case syntax.OpEndLine:
		p.b.WriteString(`(?m:$)`)
	case syntax.OpBeginText:
		p.b.WriteString(`\A`)
	case syntax.OpEndText:
		p.b.WriteString(`\z`)
	case syntax.OpWordBoundary:
		p.b.WriteString(`\b`)
	case syntax.OpNoWordBoundary:
		p.b.WriteString(`\B`)
	case syntax.OpCapture:
		p.group("(", re.Sub, "")
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		p.repeat(re)
	case syntax.OpConcat:
		p.group("(?:", re.Sub, "")
	case syntax.OpAlternate:
		p.group("(?:", re.Sub, "|")
	default:
		p.err = fmt.Errorf("the expression has something that is not supported")
	}
}

func (p *regexPrinter) group(open string, subs []*syntax.Regexp, between string) {
	p.b.WriteString(open)
	for i, s := range subs {
		if i > 0 {
			p.b.WriteString(between)
		}
		p.print(s)
	}
	p.b.WriteByte(')')
}

func (p *regexPrinter) repeat(re *syntax.Regexp) {
	p.group("(?:", re.Sub, "")
	switch re.Op {
	case syntax.OpStar:
		p.b.WriteByte('*')
	case syntax.OpPlus:
		p.b.WriteByte('+')
	case syntax.OpQuest:
		p.b.WriteByte('?')
	default:
		if re.Max < 0 {
			fmt.Fprintf(&p.b, "{%d,}", re.Min)
		} else {
			fmt.Fprintf(&p.b, "{%d,%d}", re.Min, re.Max)
		}
	}
	if re.Flags&syntax.NonGreedy != 0 {
		p.b.WriteByte('?')
	}
}

func (p *regexPrinter) literal(r rune, fold bool) {
	if r < utf8.RuneSelf {
		if c := byte(r); fold && (c|0x20) >= 'a' && (c|0x20) <= 'z' {
			fmt.Fprintf(&p.b, "[%c%c]", c&^0x20, c|0x20)
		} else {
			p.b.WriteString(literal(c))
		}
		return
	}
	p.b.WriteString("(?:")
	for _, c := range []byte(string(r)) {
		p.b.WriteString(literal(c))
	}
	p.b.WriteByte(')')
}

// class writes a character class, given as pairs of first and last.
func (p *regexPrinter) class(ranges []rune) {
	// What folding adds to k and s beyond ASCII is of no use in a request.
	const longS, kelvin = '\u017f', '\u212a'
	var b strings.Builder
	for i := 0; i+1 < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		switch {
		case lo == hi && (lo == longS || lo == kelvin):
		case hi < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x-\x%02x`, lo, hi)
		case lo <= utf8.RuneSelf && hi == utf8.MaxRune:
			fmt.Fprintf(&b, `\x%02x-\xff`, lo)
		// [^k] with folding is everything but a few: the parts between them.
		case lo == longS+1 || lo == kelvin+1 || hi == longS-1 || hi == kelvin-1:
			fmt.Fprintf(&b, `\x%02x-\xff`, min(lo, utf8.RuneSelf))
		default:
			p.err = fmt.Errorf("the expression has a class of characters beyond ASCII, which is not supported")
		}
	}
	if b.Len() == 0 {
		p.b.WriteString("(?!)")
		return
	}
	p.b.WriteString("[" + b.String() + "]")
}
