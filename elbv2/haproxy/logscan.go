package haproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

var errLine = errors.New("a line that is not ours")

// scan reads a line into its fields. There is a line for each request, and encoding/json takes several times as long for it as all else that is done
// with it. It takes what httpLog writes: one flat object without spaces, of strings, whole numbers and one list of whole numbers.
func (l *logged) scan(line []byte) error {
	rest := bytes.TrimRight(line, "\x00\r\n ")
	if len(rest) < 2 || rest[0] != '{' || rest[len(rest)-1] != '}' {
		return errLine
	}
	for rest = rest[1 : len(rest)-1]; ; rest = rest[1:] {
		key, after, err := quoted(rest)
		if err != nil || len(after) == 0 || after[0] != ':' {
			return errLine
		}
		if rest, err = l.field(key, after[1:]); err != nil {
			return err
		}
		if len(rest) == 0 {
			return nil
		}
		if rest[0] != ',' {
			return errLine
		}
	}
}

// field reads one value and returns what comes after it. A key that is not known is passed over.
func (l *logged) field(key string, rest []byte) (after []byte, err error) {
	switch {
	case len(rest) > 0 && rest[0] == '"':
		var s string
		if s, after, err = quoted(rest); err == nil {
			if to := l.text(key); to != nil {
				*to = s
			}
		}
		return after, err
	case len(rest) > 0 && rest[0] == '[':
		for rest = rest[1:]; ; rest = rest[1:] {
			n, after, err := whole(rest)
			if err != nil || len(after) == 0 {
				return nil, errLine
			}
			if rest = after; key == "ti" {
				l.Times = append(l.Times, int(n))
			}
			if rest[0] == ']' {
				return rest[1:], nil
			}
			if rest[0] != ',' {
				return nil, errLine
			}
		}
	}
	n, after, err := whole(rest)
	if err != nil {
		return nil, err
	}
	switch key {
	case "t":
		l.Seconds = n
	case "ms":
		l.Millis = n
	case "cp":
		l.ClientP = int(n)
	case "st":
		l.Status = int(n)
	case "i":
		l.Received = n
	case "o":
		l.Sent = n
	}
	return after, nil
}

// text is the field that holds the text of a key.
func (l *logged) text(key string) *string {
	switch key {
	case "f":
		return &l.Frontend
	case "b":
		return &l.Backend
	case "s":
		return &l.Slot
	case "r":
		return &l.Rule
	case "ci":
		return &l.Client
	case "si":
		return &l.Target
	case "sp":
		return &l.TargetP
	case "ts":
		return &l.TargetSt
	case "m":
		return &l.Method
	case "v":
		return &l.Version
	case "h":
		return &l.Host
	case "u":
		return &l.URL
	case "ua":
		return &l.Agent
	case "tr":
		return &l.Trace
	case "sc":
		return &l.Cipher
	case "sv":
		return &l.TLS
	case "rc":
		return &l.Retries
	case "e":
		return &l.End
	}
	return nil
}

// quoted reads a string. One with escapes is left to encoding/json.
func quoted(b []byte) (s string, after []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		return "", nil, errLine
	}
	plain := true
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '\\':
			plain = false
			i++
		case b[i] < ' ' || b[i] >= 0x80:
			plain = false // encoding/json refuses control characters and replaces what is not UTF-8
		case b[i] == '"' && plain:
			return string(b[1:i]), b[i+1:], nil
		case b[i] == '"':
			err = json.Unmarshal(b[:i+1], &s)
			return s, b[i+1:], err
		}
	}
	return "", nil, errLine
}

// whole reads a whole number.
func whole(b []byte) (n int64, after []byte, err error) {
	end := 0
	for end < len(b) && (b[end] == '-' || b[end] >= '0' && b[end] <= '9') {
		end++
	}
	n, err = strconv.ParseInt(string(b[:end]), 10, 64)
	if err != nil {
		return 0, nil, errLine
	}
	return n, b[end:], nil
}
