package placement

// parser builds predicates by recursive descent. The grammar, with "not" binding tighter than "and" and
// "and" tighter than "or":
//
//	or         = and { ("or" | "||") and }
//	and        = not { ("and" | "&&") not }
//	not        = [ "not" | "!" ] primary
//	primary    = "(" or ")" | comparison
//	comparison = subject ( exists | operator literal | in "[" literal { "," literal } "]" )
type parser struct {
	lexer        lexer
	tok          token
	load, counts bool // see Expression
}

func (p *parser) parse() (predicate, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokenEnd {
		return nil, p.fail(p.tok, "the expression is empty")
	}
	match, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenEnd {
		return nil, p.fail(p.tok, `expected "and", "or" or the end, found `+p.tok.String())
	}
	return match, nil
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lexer.next()
	return err
}

func (p *parser) fail(t token, why string) error { return p.lexer.fail(t.at, why) }

// accept consumes the current token if it is the word or the symbol.
func (p *parser) accept(word, symbol string) (bool, error) {
	if p.tok.kind == tokenWord && p.tok.text == word || p.tok.kind == tokenSymbol && p.tok.text == symbol {
		return true, p.advance()
	}
	return false, nil
}

func (p *parser) expect(symbol string) error {
	ok, err := p.accept("", symbol)
	if err == nil && !ok {
		return p.fail(p.tok, `expected "`+symbol+`", found `+p.tok.String())
	}
	return err
}

func (p *parser) or() (predicate, error) {
	return p.sequence("or", "||", p.and, func(all []predicate) predicate {
		return func(on *Instance) bool {
			for _, match := range all {
				if match(on) {
					return true
				}
			}
			return false
		}
	})
}

func (p *parser) and() (predicate, error) {
	return p.sequence("and", "&&", p.not, func(all []predicate) predicate {
		return func(on *Instance) bool {
			for _, match := range all {
				if !match(on) {
					return false
				}
			}
			return true
		}
	})
}

func (p *parser) sequence(word, symbol string, operand func() (predicate, error), join func([]predicate) predicate) (predicate, error) {
	var all []predicate
	for {
		match, err := operand()
		if err != nil {
			return nil, err
		}
		all = append(all, match)
		more, err := p.accept(word, symbol)
		if err != nil {
			return nil, err
		}
		if more {
			continue
		}
		if len(all) == 1 {
			return match, nil
		}
		return join(all), nil
	}
}

func (p *parser) not() (predicate, error) {
	negated, err := p.accept("not", "!")
	if err != nil {
		return nil, err
	}
	match, err := p.primary()
	if err != nil || !negated {
		return match, err
	}
	return func(on *Instance) bool { return !match(on) }, nil
}

func (p *parser) primary() (predicate, error) {
	grouped, err := p.accept("", "(")
	if err != nil {
		return nil, err
	}
	if !grouped {
		return p.comparison()
	}
	match, err := p.or()
	if err != nil {
		return nil, err
	}
	return match, p.expect(")")
}

func (p *parser) comparison() (predicate, error) {
	name := p.tok
	if name.kind != tokenWord {
		return nil, p.fail(name, "expected a subject, found "+name.String())
	}
	sub, ok := findSubject(name.text)
	if !ok {
		return nil, p.fail(name, "unknown subject "+name.String())
	}
	p.load, p.counts = p.load || sub.load, p.counts || sub.counts
	if err := p.advance(); err != nil {
		return nil, err
	}
	at := p.tok
	op, err := p.operator()
	if err != nil {
		return nil, err
	}
	if !sub.allows(op) {
		return nil, p.fail(at, name.String()+" cannot be compared with "+at.String())
	}
	literals, err := p.operand(op)
	if err != nil {
		return nil, err
	}
	match, bad := sub.compile(op.positive(), literals)
	if bad != nil {
		return nil, p.fail(literals[bad.literal], bad.why)
	}
	if op.negative() {
		return func(on *Instance) bool { return !match(on) }, nil
	}
	return match, nil
}

func (p *parser) operator() (operator, error) {
	t := p.tok
	name := t.text
	if t.kind == tokenSymbol && t.text == "!" { // !exists, !in
		if err := p.advance(); err != nil {
			return 0, err
		}
		name = "!" + p.tok.text
	}
	op, ok := operatorNamed(name)
	if !ok || t.kind == tokenString || t.kind == tokenEnd || p.tok.kind == tokenString {
		return 0, p.fail(t, "expected an operator, found "+t.String())
	}
	return op, p.advance()
}

// operand reads what stands to the right of the operator.
func (p *parser) operand(op operator) ([]token, error) {
	if op.positive() == opExists {
		return nil, nil
	}
	if op.positive() != opIn {
		t, err := p.literal()
		return []token{t}, err
	}
	if err := p.expect("["); err != nil {
		return nil, err
	}
	var list []token
	for {
		t, err := p.literal()
		if err != nil {
			return nil, err
		}
		list = append(list, t)
		more, err := p.accept("", ",")
		if err != nil {
			return nil, err
		}
		if !more {
			return list, p.expect("]")
		}
	}
}

func (p *parser) literal() (token, error) {
	t := p.tok
	if t.kind != tokenWord && t.kind != tokenString {
		return t, p.fail(t, "expected a value, found "+t.String())
	}
	return t, p.advance()
}

// operator is a comparison; the negative ones are the positive ones with the lowest bit set.
type operator uint8

const (
	opEqual, opNotEqual = operator(2 * iota), operator(2*iota + 1)
	opMatch, opNotMatch
	opIn, opNotIn
	opExists, opNotExists
	opGreater, _
	opGreaterEqual, _
	opLess, _
	opLessEqual, _
)

func (o operator) negative() bool     { return o&1 == 1 }
func (o operator) positive() operator { return o &^ 1 }

func operatorNamed(name string) (operator, bool) {
	switch name {
	case "==", "equals":
		return opEqual, true
	case "!=", "not_equals":
		return opNotEqual, true
	case "=~", "matches":
		return opMatch, true
	case "!~", "not_matches":
		return opNotMatch, true
	case "in":
		return opIn, true
	case "!in", "not_in":
		return opNotIn, true
	case "exists":
		return opExists, true
	case "!exists", "not_exists":
		return opNotExists, true
	case ">", "greater_than":
		return opGreater, true
	case ">=", "greater_than_equal":
		return opGreaterEqual, true
	case "<", "less_than":
		return opLess, true
	case "<=", "less_than_equal":
		return opLessEqual, true
	}
	return 0, false
}
