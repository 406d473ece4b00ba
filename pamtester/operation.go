package main

import "strings"

// operation is a word such as setcred(PAM_ESTABLISH_CRED).
type operation struct {
	name string // as it was written
	args string // what is between the parentheses
	want string // PAM code that is expected, from NAME=CODE; "" is success
}

// parseOperation splits NAME(ARGS) at the first parenthesis; the last character closes it. NAME=PAM_CODE says what is
// expected of an operation without arguments.
func parseOperation(word string) (operation, error) {
	name, args, has := strings.Cut(word, "(")
	if !has {
		if op, want, found := strings.Cut(word, "="); found {
			if _, ok := codeOf(want); ok {
				return operation{name: op, want: want}, nil
			}
		}
		return operation{name: word}, nil
	}
	args, want, _ := cutExpectation(args)
	if !strings.HasSuffix(args, ")") || name == "" {
		return operation{}, usageError(`incorrect op_name spec "` + word + `".`)
	}
	return operation{strings.TrimRight(name, blanks), strings.Trim(args[:len(args)-1], blanks), want}, nil
}

// cutExpectation takes =PAM_CODE off the end of "ARGS)=PAM_CODE".
func cutExpectation(s string) (args, want string, found bool) {
	i := strings.LastIndex(s, ")=")
	if i < 0 {
		return s, "", false
	}
	if _, ok := codeOf(s[i+2:]); !ok {
		return s, "", false
	}
	return s[:i+1], s[i+2:], true
}

// lower is tolower(3) of each byte in the C locale: what libpam and the original go by when capitals do not count. Package strings
// would take a Kelvin sign for a k, and spoil bytes that are not UTF-8.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
