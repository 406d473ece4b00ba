package account

import (
	"strings"
	"unicode"
)

// Fold returns a text in which letters that differ in case only are the same (Unicode simple case folding): user names and
// display names are compared so. Two texts are equal without case when their folds are equal.
func Fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 {
			return lower(r)
		}
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			if next < least {
				least = next
			}
		}
		if least < 0x80 { // the Kelvin sign is a k
			return lower(least)
		}
		return least
	}, s)
}
