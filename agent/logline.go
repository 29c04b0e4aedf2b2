package agent

import (
	"bytes"
	"regexp"
	"time"
	"unicode/utf8"

	"berth/agent/proto"
)

// maxEvent is the largest message of one event: CloudWatch Logs' 256 KiB less the 26 bytes that it counts for each.
const maxEvent = 256<<10 - 26

// logLine is one line of the monitor's k8s-file: "2030-01-01T00:00:00.000000000Z stdout F text". The monitor splits
// long lines; all parts but the last are marked P.
type logLine struct {
	at      time.Time
	stream  string
	partial bool
	text    []byte
}

// parseLine reads a line without its newline. It returns false for what no monitor writes; such lines are skipped.
func parseLine(line []byte) (logLine, bool) {
	stamp, rest, ok1 := bytes.Cut(line, []byte(" "))
	stream, rest, ok2 := bytes.Cut(rest, []byte(" "))
	tag, text, ok3 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || !ok3 || len(tag) != 1 || (tag[0] != 'F' && tag[0] != 'P') {
		return logLine{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return logLine{}, false
	}
	return logLine{at: at, stream: string(stream), partial: tag[0] == 'P', text: text}, true
}

// joiner makes events out of lines: it joins the parts of long lines, lines that belong to one event, and splits
// what is larger than an event may be. It holds at most one event per stream.
type joiner struct {
	begins  *regexp.Regexp // a line that begins an event; nil: every line does
	pending map[string]*pendingEvent
	out     []proto.LogEvent // finished
}

// pendingEvent is an event that may still grow.
type pendingEvent struct {
	at     time.Time
	from   position // where its first line begins
	text   []byte
	line   int  // where in text the line begins that is being joined
	inLine bool // the last line was marked P
}

func newJoiner(begins *regexp.Regexp) *joiner {
	return &joiner{begins: begins, pending: map[string]*pendingEvent{}}
}

// add takes the line that begins at from.
func (j *joiner) add(l logLine, from position) {
	p := j.pending[l.stream]
	if p == nil {
		p = &pendingEvent{at: l.at, from: from}
		j.pending[l.stream] = p
	} else if !p.inLine && len(p.text) > 0 {
		p.text = append(p.text, '\n')
	}
	if !p.inLine {
		p.line = len(p.text)
	}
	p.text = append(p.text, l.text...)
	p.inLine = l.partial
	if !p.inLine {
		j.endLine(l, p, from)
	}
	for len(p.text) > maxEvent {
		n := splitAt(p.text, maxEvent)
		j.emit(p.at, p.text[:n])
		p.text = append(p.text[:0], p.text[n:]...)
		p.line, p.from, p.at = max(p.line-n, 0), from, l.at
	}
	if !p.inLine && j.begins == nil {
		j.finish(l.stream)
	}
}

// endLine finishes the event before a line that begins a new one.
func (j *joiner) endLine(l logLine, p *pendingEvent, from position) {
	if j.begins == nil || p.line == 0 || !j.begins.Match(p.text[p.line:]) {
		return
	}
	j.emit(p.at, bytes.TrimSuffix(p.text[:p.line], []byte("\n")))
	p.text = append(p.text[:0], p.text[p.line:]...)
	p.line, p.from, p.at = 0, from, l.at
}

func (j *joiner) finish(stream string) {
	p := j.pending[stream]
	delete(j.pending, stream)
	j.emit(p.at, p.text)
}

// flush finishes every event that is not in the middle of a line; with all also those.
func (j *joiner) flush(all bool) {
	for stream, p := range j.pending {
		if all || !p.inLine {
			j.finish(stream)
		}
	}
}

// emit adds an event. Empty ones are left out: CloudWatch Logs takes none.
func (j *joiner) emit(at time.Time, text []byte) {
	if len(text) > 0 {
		j.out = append(j.out, proto.LogEvent{Timestamp: at.UnixMilli(), Message: string(text)})
	}
}

// safe is up to where everything was emitted, if end is where reading stopped.
func (j *joiner) safe(end position) position {
	for _, p := range j.pending {
		if p.from.before(end) {
			end = p.from
		}
	}
	return end
}

// splitAt is the largest n of at most limit at which text can be cut without cutting a character.
func splitAt(text []byte, limit int) int {
	for n := limit; n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return limit
}

// datetimePattern turns an awslogs-datetime-format (strftime) into a pattern for the date and time.
// Source: Docker documentation, awslogs driver, supported strftime formats.
func datetimePattern(format string) (*regexp.Regexp, error) {
	codes := map[byte]string{
		'a': `(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)`, 'A': `(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day`,
		'b': `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)`,
		'B': `(?:January|February|March|April|May|June|July|August|September|October|November|December)`,
		'd': `(?:0[1-9]|[12][0-9]|3[01])`, 'f': `[0-9]{6}`, 'H': `(?:[01][0-9]|2[0-3])`, 'I': `(?:0[1-9]|1[0-2])`,
		'j': `(?:[0-2][0-9]{2}|3[0-5][0-9]|36[0-6])`, 'L': `\.[0-9]{3}`, 'm': `(?:0[1-9]|1[0-2])`, 'M': `[0-5][0-9]`, 'p': `[AP]M`,
		'S': `(?:[0-5][0-9]|60)`, 'U': `[0-5][0-9]`, 'w': `[0-6]`, 'y': `[0-9]{2}`, 'Y': `[0-9]{4}`, 'Z': `[A-Z]{1,4}T`, 'z': `[+-][0-9]{4}`,
		'%': `%`,
	}
	var out []byte
	for i := 0; i < len(format); i++ {
		code, known := "", false
		if format[i] == '%' && i+1 < len(format) {
			code, known = codes[format[i+1]]
		}
		if known {
			out = append(out, code...)
			i++
			continue
		}
		out = append(out, regexp.QuoteMeta(format[i:i+1])...)
	}
	return regexp.Compile(string(out))
}
