package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// screen is an output with a block at its end that is drawn anew. Elsewhere than on a terminal there is no block.
type screen struct {
	out   io.Writer
	live  bool
	width func() int
	block []string // as drawn
}

// usualWidth is the width of a terminal that does not say its own.
const usualWidth = 80

func newScreen(out io.Writer) screen {
	s := screen{out: out, live: IsTerminal(out) && os.Getenv("TERM") != "dumb", width: func() int { return usualWidth }}
	if f, ok := out.(*os.File); ok && s.live {
		s.width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				return w
			}
			return usualWidth
		}
	}
	return s
}

// print writes text above the block.
func (s *screen) print(text string) {
	if len(s.block) == 0 {
		fmt.Fprint(s.out, text)
		return
	}
	fmt.Fprint(s.out, s.erase(), text, s.text())
}

// draw replaces the block.
func (s *screen) draw(lines []string) {
	erase := s.erase()
	s.block = s.block[:0]
	width := s.width()
	for _, l := range lines {
		if r := []rune(l); len(r) > width-1 { // a line that wraps could not be erased
			l = string(r[:max(width-1, 0)])
		}
		s.block = append(s.block, l)
	}
	fmt.Fprint(s.out, erase, s.text())
}

// leave keeps the block as it is and goes on below it.
func (s *screen) leave() { s.block = nil }

func (s *screen) erase() string { return strings.Repeat("\x1b[1A\x1b[2K", len(s.block)) }

func (s *screen) text() string {
	if len(s.block) == 0 {
		return ""
	}
	return strings.Join(s.block, "\n") + "\n"
}
