package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Variables of a request, all set by us:
//
//	txn.rule    the name of the rule that matched, where there are several or an access log
//	txn.to      the backend to forward to, where there are several
//	txn.host    the host that the client asked for, without port, where a rule needs it
//	txn.stay    the group that the client's AWSALBTG cookie names, then what the cookie will name
const groupCookie = "AWSALBTG"

// when is the condition that a rule was chosen, and more. A listener with but one rule has chosen it.
func (r *renderer) when(rule Rule, more string) string {
	if !r.sole {
		more = strings.TrimSuffix("{ var(txn.rule) -m str "+name(rule.ID)+" } "+more, " ")
	}
	if more == "" {
		return ""
	}
	return " if " + more
}

// action writes what is done if the rule was chosen.
func (r *renderer) action(lb LoadBalancer, l Listener, rule Rule) {
	switch a := rule.Action; {
	case a.Kind == RedirectTo && a.Redirect != nil:
		r.redirect(l, rule, *a.Redirect)
	case a.Kind == FixedResponse && a.Fixed != nil:
		r.fixed(rule, *a.Fixed)
	default:
		r.rewrites(rule)
		r.forward(lb, rule)
	}
}

// fixed answers with a status and a body, which HAProxy reads from a file as it is.
func (r *renderer) fixed(rule Rule, f Fixed) {
	body := ""
	if f.Body != "" && f.Status != 204 && f.Status != 205 {
		sum := sha256.Sum256([]byte(f.Body))
		kind := f.ContentType
		if kind == "" {
			kind = "text/plain"
		}
		body = "content-type " + word(kind) + " file " + r.file("answers/"+hex.EncodeToString(sum[:16]), []byte(f.Body)) + " "
	}
	r.line("http-request return status %d %shdr Server %s%s", f.Status, body, serverName, r.when(rule, ""))
}

// redirect answers with a new URL. The port is always in it, as with application load balancers.
func (r *renderer) redirect(l Listener, rule Rule, to Redirect) {
	values := strings.NewReplacer("#{protocol}", strings.ToLower(l.Protocol), "#{host}", "%[var(txn.host)]", "#{port}", strconv.Itoa(l.Port),
		"#{path}", "%[path,bytes(1)]", "#{query}", "%[query]")
	fill := func(s, otherwise string) string {
		if s == "" {
			s = otherwise
		}
		return values.Replace(format(s))
	}
	if to.Query != "" {
		r.line("http-request set-var-fmt(txn.query) %s%s", word(fill(to.Query, "")), r.when(rule, ""))
		r.line("http-request set-var-fmt(txn.question) ?%%[var(txn.query)]%s", r.when(rule, "{ var(txn.query) -m len gt 0 }"))
	}
	location := strings.ToLower(fill(to.Protocol, "#{protocol}")) + "://" + fill(to.Host, "#{host}") + ":" + fill(to.Port, "#{port}") + fill(to.Path, "/#{path}") + "%[var(txn.question)]"
	status := 302
	if to.Status == 301 {
		status = 301
	}
	body := r.file(fmt.Sprintf("answers/%d.html", status), []byte(page(status)))
	r.line("http-request return status %d content-type text/html file %s hdr Server %s hdr Location %s%s", status, body, serverName, word(location), r.when(rule, ""))
}

// forward chooses the backend: the one that the client's cookie names, else one by lot in proportion to the weights.
func (r *renderer) forward(lb LoadBalancer, rule Rule) {
	groups, total := r.shares(rule.Action)
	if total == 0 {
		r.line("http-request return status 503 content-type text/html file %s hdr Server %s%s", r.file("answers/503.html", []byte(page(503))), serverName, r.when(rule, ""))
		return
	}
	if len(groups) == 1 {
		if r.sole {
			return // see uses
		}
		r.line("http-request set-var(txn.to) str(%s)%s", BackendName(lb.ID, groups[0].Group), r.when(rule, ""))
		return
	}
	sticky := min(rule.Action.Stickiness, 604800)
	if sticky > 0 {
		r.line("http-request set-var(txn.cookie) req.cook(%sCORS)%s", groupCookie, r.when(rule, ""))
		r.line("http-request set-var(txn.cookie) req.cook(%s)%s", groupCookie, r.when(rule, "{ req.cook("+groupCookie+") -m found }"))
		r.line("http-request set-var(txn.since) var(txn.cookie),field(2,.)%s", r.when(rule, ""))
		r.line("http-request set-var(txn.age) date,sub(txn.since)%s", r.when(rule, "{ var(txn.since) -m found }"))
		for _, g := range groups {
			r.line("http-request set-var(txn.to) str(%s)%s", BackendName(lb.ID, g.Group),
				r.when(rule, fmt.Sprintf("{ var(txn.cookie),field(1,.) -m str %s } { var(txn.age) -m int 0:%d }", token(lb, rule, g), sticky)))
		}
	}
	r.line("http-request set-var(txn.lot) rand(%d)%s", total, r.when(rule, ""))
	sum := 0
	for _, g := range groups {
		sum += g.Weight
		r.line("http-request set-var(txn.to) str(%s)%s", BackendName(lb.ID, g.Group),
			r.when(rule, "!{ var(txn.to) -m found } { var(txn.lot) -m int lt "+strconv.Itoa(sum)+" }"))
	}
	if sticky > 0 {
		for _, g := range groups {
			r.line("http-request set-var(txn.stay) str(%s)%s", token(lb, rule, g), r.when(rule, "{ var(txn.to) -m str "+BackendName(lb.ID, g.Group)+" }"))
		}
		for _, c := range []string{"", "CORS"} {
			r.line("http-after-response add-header Set-Cookie %s%s",
				word(fmt.Sprintf("%s%s=%%[var(txn.stay)].%%[date]; Expires=%%[date(%d),http_date]; Path=/%s", groupCookie, c, sticky, crossSite(c))), r.when(rule, "{ var(txn.stay) -m found }"))
		}
	}
}

// crossSite are the attributes of the copy of a cookie that browsers send along from other sites.
func crossSite(suffix string) string {
	if suffix == "" {
		return ""
	}
	return "; SameSite=None; Secure"
}

// token names a group of a rule in a cookie and tells nothing else.
func token(lb LoadBalancer, rule Rule, g Weighted) string {
	sum := sha256.Sum256([]byte(lb.ID + "\n" + rule.ID + "\n" + g.Group))
	return hex.EncodeToString(sum[:16])
}

// shares are the groups that get traffic, each once, and the sum of their weights. A group that the frame does not have gets its share of
// 503s, which its backend gives that has no server.
func (r *renderer) shares(a Action) (groups []Weighted, total int) {
	for _, g := range a.Groups {
		if g.Weight > 0 {
			groups = append(groups, g)
			total += g.Weight
		}
	}
	return groups, total
}

// rewrites change host and URL before the request is forwarded. Conditions were all looked at before.
func (r *renderer) rewrites(rule Rule) {
	for _, w := range rule.Rewrites {
		pattern, captures, err := regex(w.Regex)
		if err != nil {
			continue
		}
		// HAProxy replaces the whole text, so what is before and after the match is captured and written back.
		pattern = `\A([\x00-\xff]*?)(?:` + pattern + `)([\x00-\xff]*)\z`
		replace := `\1` + replacement(w.Replace, captures) + `\` + strconv.Itoa(captures+2)
		if w.Type == "host-header-rewrite" {
			r.line("http-request replace-header Host %s %s%s", word(pattern), word(replace), r.when(rule, ""))
			continue
		}
		// A URL begins with a slash, whatever the replacement is. So one is put before it, and taken away if there are two then.
		r.hits++
		hit := fmt.Sprintf("txn.hit%d", r.hits)
		r.line("http-request set-var(%s) bool(true)%s", hit, r.when(rule, "{ pathq -m reg -- "+word(pattern)+" }"))
		r.line("http-request replace-pathq %s %s if { var(%s) -m found }", word(pattern), word("/"+replace), hit)
		r.line("http-request replace-pathq '^/(/.*)$' '\\1' if { var(%s) -m found }", hit)
	}
}

// replacement turns $1 and ${1} into HAProxy's \2, as the text before the match is \1. $$ is a dollar. $0 and groups that there are not are empty.
func replacement(s string, captures int) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			out.WriteString(template(s[i : i+1]))
			continue
		}
		rest := s[i+1:]
		digit := 0
		switch {
		case rest[0] == '$':
			out.WriteByte('$')
			i++
			continue
		case rest[0] >= '0' && rest[0] <= '9':
			digit, i = int(rest[0]-'0'), i+1
		case len(rest) > 2 && rest[0] == '{' && rest[1] >= '0' && rest[1] <= '9' && rest[2] == '}':
			digit, i = int(rest[1]-'0'), i+3
		default:
			out.WriteByte('$')
			continue
		}
		if digit >= 1 && digit <= captures {
			out.WriteString(`\` + strconv.Itoa(digit+1))
		}
	}
	return out.String()
}
