package elbv2

import (
	"regexp/syntax"
	"slices"
	"unicode"
)

// mostOverlaps is how many unbounded repetitions that match a character in common may follow each other in a regular expression.
const mostOverlaps = 4

// backtracks says of a regular expression why it may try many ways of matching the same text, which would take the processor of a machine
// that carries traffic; empty if it does not. HAProxy's PCRE2 backtracks; it gives up after ten million steps, a fifth of a second.
//
// A repetition is refused whose rounds can be told apart in several ways: where what varies inside it overlaps, and overlaps with the
// character that begins and the one that ends a round. So is a sequence of too many repetitions that overlap.
func backtracks(expression string) string {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return "" // refused for that
	}
	if nested(re) {
		return "a repetition in it repeats what varies itself"
	}
	var all []span
	for _, v := range variables(re, nil) {
		if v.unbounded {
			all = append(all, v.runes)
		}
	}
	for _, a := range all {
		n := 0
		for _, b := range all {
			if a.overlaps(b) {
				n++
			}
		}
		if n > mostOverlaps {
			return "it has too many repetitions of the same characters"
		}
	}
	return ""
}

// nested says whether an expression has a repetition whose rounds are ambiguous.
func nested(re *syntax.Regexp) bool {
	if slices.ContainsFunc(re.Sub, nested) {
		return true
	}
	repeats := re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpRepeat && (re.Max > 1 || re.Max < 0)
	if !repeats {
		return false
	}
	var vary span
	for _, v := range variables(re.Sub[0], nil) {
		if v.runes.overlaps(vary) {
			return true
		}
		vary = append(vary, v.runes...)
	}
	first, begins := edge(re.Sub[0], false)
	last, ends := edge(re.Sub[0], true)
	return len(vary) > 0 && !(begins && !first.overlaps(vary)) && !(ends && !last.overlaps(vary))
}

// variable is a part of an expression that can match more than one text from the same place.
type variable struct {
	runes     span
	unbounded bool
}

// variables adds the outermost variable parts of an expression in order.
func variables(re *syntax.Regexp, to []variable) []variable {
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus:
		return append(to, variable{runesOf(re), true})
	case syntax.OpQuest:
		return append(to, variable{runesOf(re), false})
	case syntax.OpRepeat:
		if re.Min != re.Max {
			return append(to, variable{runesOf(re), re.Max < 0})
		}
	case syntax.OpAlternate:
		var seen span
		for _, s := range re.Sub {
			first, fixed := edge(s, false)
			if !fixed || first.overlaps(seen) {
				to = append(to, variable{runesOf(re), false})
				break
			}
			seen = append(seen, first...)
		}
	}
	for _, s := range re.Sub {
		to = variables(s, to)
	}
	return to
}

// edge are the characters with which what an expression matches begins, or ends. fixed tells that there always is one.
func edge(re *syntax.Regexp, end bool) (out span, fixed bool) {
	switch re.Op {
	case syntax.OpLiteral:
		at := 0
		if end {
			at = len(re.Rune) - 1
		}
		return literalSpan(re.Rune[at:at+1], re.Flags), true
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return runesOf(re), true
	case syntax.OpCapture, syntax.OpPlus:
		return edge(re.Sub[0], end)
	case syntax.OpRepeat:
		out, fixed = edge(re.Sub[0], end)
		return out, fixed && re.Min > 0
	case syntax.OpAlternate:
		fixed = true
		for _, s := range re.Sub {
			one, always := edge(s, end)
			out, fixed = append(out, one...), fixed && always
		}
		return out, fixed
	case syntax.OpConcat:
		subs := slices.Clone(re.Sub)
		if end {
			slices.Reverse(subs)
		}
		for _, s := range subs {
			one, always := edge(s, end)
			if out = append(out, one...); always {
				return out, true
			}
		}
	case syntax.OpStar, syntax.OpQuest:
		out, _ = edge(re.Sub[0], end)
	}
	return out, false
}

// span is a set of characters, as pairs of the first and the last of a range.
type span []rune

func (s span) overlaps(o span) bool {
	for i := 0; i+1 < len(s); i += 2 {
		for k := 0; k+1 < len(o); k += 2 {
			if s[i] <= o[k+1] && o[k] <= s[i+1] {
				return true
			}
		}
	}
	return false
}

// runesOf are the characters of which what an expression matches may consist.
func runesOf(re *syntax.Regexp) (out span) {
	switch re.Op {
	case syntax.OpLiteral:
		return literalSpan(re.Rune, re.Flags)
	case syntax.OpCharClass:
		return re.Rune
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return span{0, unicode.MaxRune}
	}
	for _, s := range re.Sub {
		out = append(out, runesOf(s)...)
	}
	return out
}

func literalSpan(runes []rune, flags syntax.Flags) (out span) {
	for _, r := range runes {
		out = append(out, r, r)
		for f := unicode.SimpleFold(r); flags&syntax.FoldCase != 0 && f != r; f = unicode.SimpleFold(f) {
			out = append(out, f, f)
		}
	}
	return out
}
