package main

import (
	"strconv"
	"strings"
)

// parseFlags evaluates the expression in an operation's parentheses: numbers and names of constants, joined by | ^ &, which
// bind in this order from loosest to tightest, each with any number of ~ before it. Nothing is 0. The error text is the
// original's. Hexadecimal numbers are read only where hex says so: the original refuses them.
func parseFlags(s string, hex bool) (flags uint32, short []string, wrong string) {
	p := &flagParser{rest: s, hex: hex}
	p.next()
	if p.word == "" {
		return 0, nil, ""
	}
	v := p.or()
	if p.err == "" && p.word != "" {
		p.fail("unexpected token", p.word)
	}
	return v, p.short, p.err
}

type flagParser struct {
	rest  string
	word  string // the current token, "" at the end
	hex   bool
	short []string // names that were only begun
	err   string
}

const (
	operators = "|^&~"
	blanks    = " \t"
)

func (p *flagParser) next() {
	p.rest = strings.TrimLeft(p.rest, blanks)
	n := strings.IndexAny(p.rest, operators+blanks)
	switch {
	case p.rest == "":
		p.word = ""
		return
	case n == 0:
		n = 1
	case n < 0:
		n = len(p.rest)
	}
	p.word, p.rest = p.rest[:n], p.rest[n:]
}

func (p *flagParser) fail(what, word string) {
	if p.err == "" {
		p.err = what + ` "` + word + `"`
	}
}

func (p *flagParser) or() uint32 {
	return p.binary("|", func(a, b uint32) uint32 { return a | b }, p.xor)
}
func (p *flagParser) xor() uint32 {
	return p.binary("^", func(a, b uint32) uint32 { return a ^ b }, p.and)
}
func (p *flagParser) and() uint32 {
	return p.binary("&", func(a, b uint32) uint32 { return a & b }, p.term)
}

func (p *flagParser) binary(op string, do func(a, b uint32) uint32, operand func() uint32) uint32 {
	v := operand()
	for p.err == "" && p.word == op {
		p.next()
		v = do(v, operand())
	}
	return v
}

func (p *flagParser) term() uint32 {
	invert := false
	for p.word == "~" {
		invert = !invert
		p.next()
	}
	if p.word == "" || strings.Contains(operators, p.word) {
		p.fail("unexpected token", p.word)
		return 0
	}
	v := p.constant()
	p.next()
	if invert {
		return ^v
	}
	return v
}

// constant reads a number or a name. Any prefix of a name counts, as in the original: scripts have them.
func (p *flagParser) constant() uint32 {
	if n, err := strconv.ParseInt(p.word, 10, 64); err == nil {
		return uint32(n)
	}
	if digits, ok := strings.CutPrefix(lower(p.word), "0x"); ok && p.hex {
		if n, err := strconv.ParseUint(digits, 16, 32); err == nil {
			return uint32(n)
		}
	}
	for _, c := range constants {
		if len(p.word) <= len(c.name) && lower(p.word) == lower(c.name[:len(p.word)]) {
			if len(p.word) < len(c.name) {
				p.short = append(p.short, p.word+" means "+c.name)
			}
			return c.value
		}
	}
	p.fail("undefined constant", p.word)
	return 0
}
