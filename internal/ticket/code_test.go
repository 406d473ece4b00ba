package ticket

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestNewCode(t *testing.T) {
	form := regexp.MustCompile(`^pwb(-[0-9a-hjkmnp-tv-z]{4}){7}$`)
	seen := map[Code]bool{}
	for range 1000 {
		text := NewCode()
		if !form.MatchString(text) || len(text) > 64 {
			t.Fatalf("NewCode = %q", text)
		}
		code, err := ParseCode([]byte(text))
		if err != nil || seen[code] {
			t.Fatalf("ParseCode(%q): %v, seen %v", text, err, seen[code])
		}
		seen[code] = true
	}
}

// What a person's paste or hand makes of a code is the code all the same, where it can be nothing else.
func TestCodesAsPeoplePasteThem(t *testing.T) {
	const text = "pwb-0123-4567-89ab-cdef-ghjk-mnpq-rsxs"
	random := "0123456789abcdefghjkmnpqrs"
	whole := "pwb" + random + checksum(random)
	want, err := ParseCode([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	group := regexp.MustCompile(`.{4}`)
	grouped := "pwb-" + strings.TrimSuffix(group.ReplaceAllString(strings.TrimPrefix(whole, "pwb"), "$0-"), "-")
	if len(grouped) != len(text) {
		t.Fatalf("a code has %d characters", len(grouped))
	}
	for _, paste := range []string{
		grouped, grouped + "\n", "  " + grouped + " \r\n", strings.ToUpper(grouped), strings.ReplaceAll(grouped, "-", " "),
		strings.ReplaceAll(grouped, "-", "\u2011"), strings.ReplaceAll(grouped, "-", "\u2013"), strings.ReplaceAll(grouped, "-", " - "),
		"\ufeff" + grouped, strings.ReplaceAll(grouped, "0", "o"), strings.ReplaceAll(grouped, "0", "O"), strings.ReplaceAll(grouped, "1", "l"),
		strings.ReplaceAll(grouped, "1", "I"), grouped[:20] + "\n" + grouped[20:], "\tPwB-" + grouped[4:],
	} {
		if got, err := ParseCode([]byte(paste)); err != nil || got != want || KindOf([]byte(paste)) != KindCode {
			t.Errorf("ParseCode(%q) = %x, %v; kind %v", paste, got, err, KindOf([]byte(paste)))
		}
	}
	for _, wrong := range []string{
		"", "pwb", "pwb-", grouped[:len(grouped)-1], grouped + "0", strings.Replace(grouped, "2", "3", 1), strings.Replace(grouped, "2", "u", 1),
		strings.Replace(grouped, "2", "é", 1), strings.Replace(grouped, "2", "\x00", 1), grouped[4:], grouped + strings.Repeat(" ", maxCodeText), "pwp" + grouped[3:],
	} {
		if _, err := ParseCode([]byte(wrong)); !errors.Is(err, ErrCode) || len(wrong) > 10 && strings.Contains(err.Error(), wrong) {
			t.Errorf("ParseCode(%q): %v, want %v", wrong, err, ErrCode)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add([]byte(NewCode()))
	f.Add([]byte("PWB 0123 4567"))
	f.Add([]byte("pwb-\u2011\ufeff"))
	f.Add([]byte("pwb-oooo-iiii-llll-uuuu-0000-0000-0000"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		code, err := ParseCode(raw)
		if err != nil {
			if !errors.Is(err, ErrCode) {
				t.Fatal(err)
			}
			return
		}
		if KindOf(raw) != KindCode {
			t.Fatalf("%q is a code, and taken for a %v", raw, KindOf(raw))
		}
		if again, err := ParseCode([]byte(strings.ToUpper(squeeze(raw)))); err != nil || again != code {
			t.Fatalf("%q in capitals is another: %v", raw, err)
		}
	})
}
