package account

import "testing"

func TestGUID(t *testing.T) {
	for s, want := range map[string]bool{
		"9188040d-6c67-4c5b-b112-36a304b66dad":  true,
		"9188040D-6C67-4C5B-B112-36A304B66DAD":  true,
		"9188040d-6c67-4c5b-b112-36a304b66da":   false,
		"9188040d-6c67-4c5b-b112-36a304b66dadd": false,
		"9188040d06c67-4c5b-b112-36a304b66dad":  false,
		"9188040d-6c67-4c5b-b112-36a304b66da-":  false,
		"g188040d-6c67-4c5b-b112-36a304b66dad":  false,
		"":                                      false,
	} {
		if got := IsGUID(s); got != want {
			t.Errorf("IsGUID(%q) = %v", s, got)
		}
	}
}

func TestLabel(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "Example.com": true, "10.0.0.1": true, "a--b": true, "xn--bcher-kva.example": true,
		"": false, ".": false, ".example.com": false, "example.com.": false, "-a": false, "a_b": false, "a b": false, "a\n": false,
		"bücher.example": false, "a\xff": false, "a/b": false,
	} {
		if got := IsLabel(s, ".-"); got != want {
			t.Errorf("IsLabel(%q) = %v", s, got)
		}
	}
	if !IsLabel("a_b", "._-") || IsLabel("a_", "._-") {
		t.Error("signs are those that the caller names")
	}
}
