package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func key(t testing.TB) (*Key, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	k, err := CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func TestSealAndOpen(t *testing.T) {
	k, path := key(t)
	sealed := k.Seal("client-secret", "Dq8Q~a#b;c$HOME=d\\e")
	loaded, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := loaded.Open("client-secret", sealed); err != nil || got.Reveal() != "Dq8Q~a#b;c$HOME=d\\e" {
		t.Errorf("Open = %q, %v", got.Reveal(), err)
	}
	if sealed == k.Seal("client-secret", "Dq8Q~a#b;c$HOME=d\\e") {
		t.Error("the same text gave the same value twice")
	}
	other, _ := key(t)
	flip := func(i int) string { b := []byte(sealed); b[i] ^= 1; return string(b) }
	for _, tt := range []struct {
		name, setting, value string
		key                  *Key
		want                 error
	}{
		{"another key", "client-secret", sealed, other, ErrOtherKey},
		{"another setting", "password", sealed, k, ErrDamaged},
		{"a bit changed", "client-secret", flip(len(sealed) - 10), k, ErrDamaged},
		{"cut", "client-secret", sealed[:len(sealed)-1], k, ErrDamaged},
		{"empty", "client-secret", prefix, k, ErrDamaged},
		{"plain", "client-secret", "plain", k, ErrDamaged},
	} {
		if got, err := tt.key.Open(tt.setting, tt.value); !errors.Is(err, tt.want) || got.Reveal() != "" {
			t.Errorf("%s: %q, %v; want %v", tt.name, got.Reveal(), err, tt.want)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	_, path := key(t)
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if _, err := CreateKey(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a key that is there: %v", err)
	}
	os.Chmod(path, 0o640)
	if _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), "run: chmod 0600 "+path) {
		t.Errorf("readable by others: %v", err)
	}
	os.Chmod(path, 0o600)
	os.WriteFile(path, []byte("short\n"), 0o600)
	if _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits") {
		t.Errorf("no key: %v", err)
	}
}

// The vector of a server of Workbench's.
func TestWorkbenchVector(t *testing.T) {
	cookieKey := []byte("d3161166-e89b-4158-af3b-5980e3056cc6\n")
	const value = "BFA25145OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r+SuKXS3Rsi/TC0qbVZ5uCMBFA25145"
	if got, err := OpenWorkbench(cookieKey, value); err != nil || got.Reveal() != "success" {
		t.Errorf("OpenWorkbench = %q, %v", got.Reveal(), err)
	}
	if _, err := OpenWorkbench([]byte(strings.Repeat("k", 36)), value); !errors.Is(err, ErrOtherKey) || !strings.Contains(err.Error(), "fingerprint mismatch") {
		t.Errorf("another key: %v", err)
	}
	for _, plain := range []string{"", "x", strings.Repeat("y", 16), strings.Repeat("z", 100)} {
		sealed, err := SealForWorkbench(cookieKey, plain)
		if err != nil || !SealedByWorkbench(sealed) {
			t.Fatalf("SealForWorkbench = %q, %v", sealed, err)
		}
		if got, err := OpenWorkbench(cookieKey, sealed); err != nil || got.Reveal() != plain {
			t.Errorf("there and back: %q, %v; want %q", got.Reveal(), err, plain)
		}
	}
	// Padding that is none: CBC without its last block.
	cut := value[:8] + "OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r8=" + value[len(value)-8:]
	if _, err := OpenWorkbench(cookieKey, cut); !errors.Is(err, ErrDamaged) {
		t.Errorf("without its text: %v, want %v", err, ErrDamaged)
	}
}

func TestASecretPrintsAsDots(t *testing.T) {
	s := New("hunter2")
	js, _ := json.Marshal(map[string]any{"s": s})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "deep", struct{ S Text }{s})
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s), fmt.Sprintf("%+v %#v", struct{ S Text }{s}, &s), string(js), log.String()} {
		if strings.Contains(out, "hunter2") || strings.Contains(out, "68756e74657232") {
			t.Errorf("printed: %s", out)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k, _ := key(f)
	f.Add("pwb1:00000000:AAAA")
	f.Add("BFA25145OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r+SuKXS3Rsi/TC0qbVZ5uCMBFA25145")
	f.Fuzz(func(t *testing.T, value string) {
		if got, err := k.Open("client-secret", value); err == nil {
			t.Errorf("opened %q: %q", value, got.Reveal())
		}
		OpenWorkbench([]byte("d3161166-e89b-4158-af3b-5980e3056cc6\n"), value)
	})
}
