package account

import "testing"

func TestFold(t *testing.T) {
	for _, tt := range []struct{ a, b string }{
		{"Alice@Example.COM", "alice@example.com"}, {"ÅNGSTRÖM", "ångström"}, {"\u212a", "k"}, {"\u212b", "å"}, {"ΣΑΣ", "σας"}, {"İ", "İ"}, {"", ""},
	} {
		if Fold(tt.a) != Fold(tt.b) {
			t.Errorf("Fold(%q) = %q, Fold(%q) = %q; want them equal", tt.a, Fold(tt.a), tt.b, Fold(tt.b))
		}
	}
	for _, tt := range []struct{ a, b string }{{"a", "b"}, {"é", "e"}, {"i", "ı"}, {"i", "İ"}} {
		if Fold(tt.a) == Fold(tt.b) {
			t.Errorf("Fold(%q) = Fold(%q)", tt.a, tt.b)
		}
	}
}
