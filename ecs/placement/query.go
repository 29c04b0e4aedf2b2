package placement

import (
	"fmt"
	"maps"
	"slices"
)

// Expression is a compiled expression of the cluster query language, as in memberOf constraints and in
// the filter of ListContainerInstances. It may be used by several goroutines at once.
type Expression struct {
	text   string
	match  predicate
	load   bool // depends on the tasks of the instance
	counts bool // depends on Instance.Running
}

// predicate tells whether an instance satisfies an expression.
type predicate func(*Instance) bool

// SyntaxError says where an expression is wrong. Its text is for the user.
type SyntaxError struct {
	Text string
	At   int // offset in bytes
	Why  string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("Invalid expression at position %d: %s", e.At+1, e.Why)
}

// Compile parses an expression. The error is a *SyntaxError.
// Differs: regular expressions are those of RE2, fully matched; what Java has beyond them is refused.
func Compile(text string) (*Expression, error) {
	if len(text) > MaxExpression {
		return nil, &SyntaxError{Text: text, At: MaxExpression, Why: fmt.Sprintf("longer than %d characters", MaxExpression)}
	}
	p := parser{lexer: lexer{text: text}}
	match, err := p.parse()
	if err != nil {
		return nil, err
	}
	return &Expression{text: text, match: match, load: p.load, counts: p.counts}, nil
}

// Match tells whether the instance satisfies the expression.
func (e *Expression) Match(on *Instance) bool { return e.match(on) }

// CountsRunning tells whether the expression looks at Instance.Running, which some callers have to count.
func (e *Expression) CountsRunning() bool { return e.counts }

// String is the text that the expression was compiled from.
func (e *Expression) String() string { return e.text }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
