package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
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
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open("client-secret", sealed); err != nil || got.Reveal() != "Dq8Q~a#b;c$HOME=d\\e" {
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

// lesson 10: created 0600 with O_EXCL, no chmod after; here also whole or not at all, and never over another.
func TestCreateKey(t *testing.T) {
	_, path := key(t)
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v; want mode 0600", st, err)
	}
	before, _ := os.ReadFile(path)
	if _, err := CreateKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a key that is there: %v, want %v", err, fs.ErrExist)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the key that was there is another one")
	}
	if _, err := CreateKey(filepath.Join(path, "below-a-file")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: %v, want %v", err, syscall.ENOTDIR)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	digits := strings.Repeat("0f", keySize)
	for _, tt := range []struct {
		text string
		want error
	}{
		{digits + "\n", nil},
		{digits, nil}, // an editor may have taken the newline
		{"", ErrKeyFile},
		{"\n", ErrKeyFile},
		{digits[1:] + "\n", ErrKeyFile},
		{digits + "0\n", ErrKeyFile},
		{digits + "\n\n", ErrKeyFile},
		{"x" + digits[1:], ErrKeyFile},
	} {
		if _, err := ParseKey([]byte(tt.text)); err != tt.want {
			t.Errorf("ParseKey(%q) = %v, want %v", tt.text, err, tt.want)
		}
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
	// lesson of the format: no authentication, and rskey does not look at the padding.
	body := value[8 : len(value)-8]
	for _, tt := range []struct{ name, body string }{
		{"without its text", "OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r8="},
		{"without its last bytes", body[:len(body)-8]},
		{"not base64", "*" + body[1:]},
		{"another block", "OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r+SuKXS3Rsi/TC0qbVZ5uCN"},
		{"bits of the first block flipped by its IV", "u" + body[1:]},
		{"empty", ""},
	} {
		got, err := OpenWorkbench(cookieKey, "BFA25145"+tt.body+"BFA25145")
		if !errors.Is(err, ErrDamaged) || got.Reveal() != "" {
			t.Errorf("%s: %q, %v; want %v", tt.name, got.Reveal(), err, ErrDamaged)
		}
	}
	if _, err := SealForWorkbench([]byte("short"), "x"); err == nil || err.Error() != "secure-cookie-key has under 32 bytes" {
		t.Errorf("a short key: %v", err)
	}
}

func TestSealedByWorkbench(t *testing.T) {
	for value, want := range map[string]bool{
		"BFA25145AAAABFA25145": true,
		"BFA25145AAAABFA25146": false,
		"bfa25145AAAAbfa25145": false, // the frame is upper case
		"BFA25145BFA25145":     false,
		"BFA25145":             false,
		"":                     false,
		"Dq8Q~secret":          false,
	} {
		if got := SealedByWorkbench(value); got != want {
			t.Errorf("SealedByWorkbench(%q) = %v", value, got)
		}
	}
}

// lesson 11, GHSA-p989-2f5w-9cf6: tokens in debug logs.
func TestASecretPrintsAsDots(t *testing.T) {
	s := New("hunter2")
	k, path := key(t)
	digits, _ := os.ReadFile(path)
	js, _ := json.Marshal(map[string]any{"s": s, "t": struct{ S Text }{s}})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "deep", struct{ S Text }{s}, "key", k)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "deep", struct{ S Text }{s}, "key", k)
	type unexported struct {
		s Text
		k *Key
	}
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s),
		fmt.Sprintf("%+v %#v", struct{ S Text }{s}, &s), fmt.Sprintf("%v %+v %#v %x", k, k, k, *k),
		// fmt does not call methods of what is in an unexported field.
		fmt.Sprintf("%v %+v %#v", unexported{s, k}, &unexported{s, k}, unexported{s, k}),
		fmt.Sprint(fmt.Errorf("wrapped: %v", s)), string(js), log.String(),
	} {
		for _, never := range []string{"hunter2", "68756e74657232", strings.TrimSpace(string(digits)), fmt.Sprint(k.bytes[:])} {
			if strings.Contains(out, strings.Trim(never, "[]")) {
				t.Errorf("printed: %s", out)
			}
		}
	}
	if got := (Text{}).Reveal(); got != "" {
		t.Errorf("the zero Text is %q", got)
	}
}

func FuzzOpen(f *testing.F) {
	k, _ := key(f)
	f.Add("pwb1:00000000:AAAA")
	f.Add("pwb1:" + k.id() + ":AAAA")
	f.Add("BFA25145OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r+SuKXS3Rsi/TC0qbVZ5uCMBFA25145")
	f.Fuzz(func(t *testing.T, value string) {
		if got, err := k.Open("client-secret", value); err == nil {
			t.Errorf("opened %q: %q", value, got.Reveal())
		}
		OpenWorkbench([]byte("d3161166-e89b-4158-af3b-5980e3056cc6\n"), value)
	})
}

// What one side writes the other reads, whatever the text and the key file; no other setting and no other key opens it.
func FuzzThereAndBack(f *testing.F) {
	k, _ := key(f)
	f.Add("success", []byte("d3161166-e89b-4158-af3b-5980e3056cc6\n"))
	f.Add("", []byte("short"))
	f.Fuzz(func(t *testing.T, plain string, cookieKey []byte) {
		if got, err := k.Open("a", k.Seal("a", plain)); err != nil || got.Reveal() != plain {
			t.Errorf("there and back: %q, %v; want %q", got.Reveal(), err, plain)
		}
		if _, err := k.Open("b", k.Seal("a", plain)); !errors.Is(err, ErrDamaged) {
			t.Errorf("under another setting: %v", err)
		}
		sealed, err := SealForWorkbench(cookieKey, plain)
		if err != nil || !utf8.ValidString(plain) {
			return
		}
		if got, err := OpenWorkbench(cookieKey, sealed); err != nil || got.Reveal() != plain {
			t.Errorf("Workbench's: %q, %v; want %q", got.Reveal(), err, plain)
		}
	})
}
