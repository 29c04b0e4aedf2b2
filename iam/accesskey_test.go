package iam

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/store"
)

func TestEnsureRootKeyMakesOneKeyPerAccount(t *testing.T) {
	st, err := store.Open(store.Config{Tables: Tables()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first, err := EnsureRootKey(t.Context(), st, DefaultAccount, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := EnsureRootKey(t.Context(), st, DefaultAccount, now.Add(time.Hour))
	if err != nil || again != first {
		t.Fatalf("second start: got %v, %v, want %v", again, err, first)
	}
	other, err := EnsureRootKey(t.Context(), st, "111122223333", now)
	if err != nil || other.ID == first.ID {
		t.Fatalf("other account: got %v, %v", other, err)
	}
	got, found, err := StoredKeys{st}.AccessKey(context.Background(), first.ID)
	if err != nil || !found || got != first {
		t.Fatalf("lookup: got %v %v %v, want %v", got, found, err, first)
	}
}

func TestAccessKeyHasTheFormOfAWSAndHidesItsSecret(t *testing.T) {
	k := NewAccessKey(DefaultAccount, time.Now())
	if len(k.ID) != 20 || !strings.HasPrefix(k.ID, "AKIA") || len(k.Secret) != secretLength {
		t.Errorf("key %q with a secret of %d characters", k.ID, len(k.Secret))
	}
	for _, form := range []string{"%v", "%+v", "%s"} {
		if text := fmt.Sprintf(form, k); strings.Contains(text, k.Secret.Reveal()) {
			t.Errorf("%s shows the secret: %s", form, text)
		}
	}
	if text := fmt.Sprintf("%#v", k); strings.Contains(text, k.Secret.Reveal()) {
		t.Errorf("%%#v shows the secret: %s", text)
	}
	raw, err := json.Marshal(k)
	if err != nil || !strings.Contains(string(raw), "sk") {
		t.Errorf("the record must keep the secret: %s, %v", raw, err)
	}
}
