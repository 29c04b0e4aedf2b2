package haproxy

import "testing"

func TestNameCanBeReadBack(t *testing.T) {
	for _, id := range []string{"app/web/50dc6c495c0c9188", "", "a_b:c/d", "ü\n", "targetgroup/web/73e2d6bc24d8a067"} {
		if got := unname(name(id)); got != id {
			t.Errorf("unname(name(%q)) = %q", id, got)
		}
	}
}

func TestWordKeepsTheLineWhole(t *testing.T) {
	if got, want := word(`a "b" \ #$`), `'a "b" \ #$'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := word("a b\n'\"\\#$\x00é"), `a\x20b\x0a\x27\x22\x5c\x23\x24\x00\xc3\xa9`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
