package aws

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
)

// Secret is a string that no log and no formatted text shows. JSON carries it in full.
type Secret string

const hidden = "***"

func (Secret) String() string             { return hidden }
func (Secret) GoString() string           { return hidden }
func (Secret) LogValue() slog.Value       { return slog.StringValue(hidden) }
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }
func (s Secret) Reveal() string           { return string(s) }

// Value returns what p points to, or the zero value for nil.
func Value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// NewHexID returns 32 random hexadecimal digits, the form of task and container-instance IDs.
func NewHexID() string {
	b := randomBytes()
	return hex.EncodeToString(b[:])
}

// NewUUID returns a random (version 4) UUID with dashes.
func NewUUID() string {
	b := randomBytes()
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func randomBytes() (b [16]byte) {
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return b
}
