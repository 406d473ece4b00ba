package account

import "strings"

// IsGUID says whether a text is a GUID, as Entra ID writes the names of tenants and objects.
func IsGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}

// IsLabel says whether a text is made of ASCII letters and digits with signs only between them, as a host's name is with ".-".
func IsLabel(s, signs string) bool {
	foreign := func(r rune) bool {
		letter, digit := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z', r >= '0' && r <= '9'
		return !letter && !digit && !strings.ContainsRune(signs, r)
	}
	return s != "" && !strings.ContainsFunc(s, foreign) && strings.Trim(s, signs) == s
}
