package placement

import (
	"strings"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenString // quoted
	tokenSymbol // ( ) [ ] , ! && || and the comparison operators
)

type token struct {
	kind tokenKind
	text string
	at   int
}

func (t token) String() string {
	if t.kind == tokenEnd {
		return "the end"
	}
	return `"` + t.text + `"`
}

// lexer cuts an expression into tokens.
type lexer struct {
	text string
	pos  int
}

// symbols, longer ones before those they begin with.
var symbols = [...]string{"&&", "||", "==", "!=", ">=", "<=", "=~", "!~", "(", ")", "[", "]", ",", ">", "<", "!"}

const wordSymbols = `-_./\:@*+^$|?`

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(wordSymbols, c) >= 0
}

func (l *lexer) next() (token, error) {
	for l.pos < len(l.text) && strings.IndexByte(" \t\r\n", l.text[l.pos]) >= 0 {
		l.pos++
	}
	at := l.pos
	if at == len(l.text) {
		return token{at: at}, nil
	}
	rest := l.text[at:]
	if rest[0] == '\'' || rest[0] == '"' {
		end := strings.IndexByte(rest[1:], rest[0])
		if end < 0 {
			return token{}, l.fail(at, "the quote is not closed")
		}
		l.pos += end + 2
		return token{tokenString, rest[1 : end+1], at}, nil
	}
	for _, s := range symbols {
		if strings.HasPrefix(rest, s) {
			l.pos += len(s)
			return token{tokenSymbol, s, at}, nil
		}
	}
	// A word ends before "||", so that "a==b||c==d" is a disjunction; a single "|" belongs to a pattern.
	for l.pos < len(l.text) && isWord(l.text[l.pos]) && !strings.HasPrefix(l.text[l.pos:], "||") {
		l.pos++
	}
	if l.pos == at {
		return token{}, l.fail(at, `unexpected character "`+firstRune(rest)+`"`)
	}
	return token{tokenWord, l.text[at:l.pos], at}, nil
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

func (l *lexer) fail(at int, why string) *SyntaxError {
	return &SyntaxError{Text: l.text, At: at, Why: why}
}
