package cli

import (
	"io"
	"os"
	"strings"
	"testing"
)

func TestChoiceIsReadUntilItIsUnderstood(t *testing.T) {
	for _, row := range []struct {
		typed string
		want  Choice
	}{
		{"r\n", RollBack}, {"Roll back\n", RollBack}, {"d\n", Detach}, {"k\n", KeepWaiting}, {"keep\n", KeepWaiting},
		{"\nwhat?\nk\n", KeepWaiting}, {"", Detach},
	} {
		if got := readChoice(strings.NewReader(row.typed), io.Discard, "web"); got != row.want {
			t.Errorf("%q: got %d, want %d", row.typed, got, row.want)
		}
	}
}

func TestNobodyIsAskedElsewhereThanAtATerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if got := AskDetached(t.Context(), r, io.Discard, "web"); got != Detach {
		t.Errorf("got %d", got)
	}
}
