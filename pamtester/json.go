package main

import (
	"strconv"
	"unicode/utf8"
)

// object is a JSON object in the making. It is written by hand: package encoding/json costs every start of this program more than
// all its own code.
type object []byte

func (o *object) key(name string) {
	if len(*o) == 0 {
		*o = append(*o, '{')
	} else {
		*o = append(*o, ',')
	}
	*o = append(appendText(*o, name), ':')
}

func (o *object) text(name, value string) {
	o.key(name)
	*o = appendText(*o, value)
}

func (o *object) number(name string, value int64) {
	o.key(name)
	*o = strconv.AppendInt(*o, value, 10)
}

func (o *object) claim(name string, value bool) {
	o.key(name)
	*o = strconv.AppendBool(*o, value)
}

func (o *object) null(name string) {
	o.key(name)
	*o = append(*o, "null"...)
}

func (o *object) objects(name string, list []object) {
	o.key(name)
	*o = append(*o, '[')
	for i, each := range list {
		if i > 0 {
			*o = append(*o, ',')
		}
		*o = append(*o, each.end()...)
	}
	*o = append(*o, ']')
}

func (o *object) texts(name string, list []string) {
	o.key(name)
	*o = append(*o, '[')
	for i, each := range list {
		if i > 0 {
			*o = append(*o, ',')
		}
		*o = appendText(*o, each)
	}
	*o = append(*o, ']')
}

func (o object) end() string {
	if len(o) == 0 {
		return "{}"
	}
	return string(o) + "}"
}

// appendText quotes a text for JSON. Bytes that are not UTF-8 become U+FFFD.
func appendText(to []byte, text string) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			to = append(to, '\\', byte(r))
		case r == '\n':
			to = append(to, `\n`...)
		case r == '\t':
			to = append(to, `\t`...)
		case r < ' ' || r == 0x7f:
			to = append(to, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			to = utf8.AppendRune(to, r)
		}
	}
	return append(to, '"')
}
