package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a filter.
const (
	maxFilter = 8 << 10
	maxDepth  = 32
	maxTerms  = 200
)

// expr is a filter as it is written (RFC 7644, 3.4.2.2): names are not looked up yet. op is and, or, not, pr, an operator that
// compares, or "any" for NAME[of].
type expr struct {
	op    string
	name  string
	value any // string, float64, bool or nil
	of    []expr
}

var operators = []string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"}

// parseFilter reads a filter.
func parseFilter(s string) (expr, error) {
	if len(s) > maxFilter {
		return expr{}, fmt.Errorf("the filter has %d bytes, over %d", len(s), maxFilter)
	}
	p := parser{s: s}
	e, err := p.or(0)
	if err == nil {
		p.space()
		if p.at < len(s) {
			err = p.wrong("and, or, or the end")
		}
	}
	if err != nil {
		return expr{}, err
	}
	return e, nil
}

// parser reads a filter or a path from left to right.
type parser struct {
	s       string
	at      int
	terms   int
	element bool // inside [ ]
}

func (p *parser) wrong(wanted string) error {
	if p.at >= len(p.s) {
		return fmt.Errorf("it ends where %s is expected", wanted)
	}
	return fmt.Errorf("at %q (byte %d) %s is expected", clip(p.s[p.at:]), p.at+1, wanted)
}

func clip(s string) string {
	const most = 24
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (p *parser) space() {
	for p.at < len(p.s) && p.s[p.at] == ' ' {
		p.at++
	}
}

// word takes a keyword, whatever its case, that ends where a word ends.
func (p *parser) word(w string) bool {
	p.space()
	end := p.at + len(w)
	if end > len(p.s) || !strings.EqualFold(p.s[p.at:end], w) {
		return false
	}
	if end < len(p.s) && nameByte(p.s[end]) {
		return false
	}
	p.at = end
	return true
}

func (p *parser) byte(b byte) bool {
	p.space()
	if p.at < len(p.s) && p.s[p.at] == b {
		p.at++
		return true
	}
	return false
}

func (p *parser) or(depth int) (expr, error)  { return p.chain("or", depth, p.and) }
func (p *parser) and(depth int) (expr, error) { return p.chain("and", depth, p.term) }

// chain reads operands with one keyword between them.
func (p *parser) chain(keyword string, depth int, operand func(int) (expr, error)) (expr, error) {
	first, err := operand(depth)
	if err != nil || !p.word(keyword) {
		return first, err
	}
	all := []expr{first}
	for more := true; more; more = p.word(keyword) {
		next, err := operand(depth)
		if err != nil {
			return expr{}, err
		}
		all = append(all, next)
	}
	return expr{op: keyword, of: all}, nil
}

func (p *parser) term(depth int) (expr, error) {
	if p.terms++; p.terms > maxTerms {
		return expr{}, fmt.Errorf("it has over %d terms", maxTerms)
	}
	if depth > maxDepth {
		return expr{}, fmt.Errorf("it is over %d levels deep", maxDepth)
	}
	start := p.at
	if p.word("not") {
		if p.space(); p.at < len(p.s) && p.s[p.at] == '(' {
			inner, err := p.group(depth)
			return expr{op: "not", of: []expr{inner}}, err
		}
		p.at = start // an attribute may be called so; if it is none the look-up says it
	}
	if p.space(); p.at < len(p.s) && p.s[p.at] == '(' {
		return p.group(depth)
	}
	return p.comparison(depth)
}

func (p *parser) group(depth int) (expr, error) {
	p.at++
	inner, err := p.or(depth + 1)
	if err == nil && !p.byte(')') {
		err = p.wrong(")")
	}
	return inner, err
}

func (p *parser) comparison(depth int) (expr, error) {
	name := p.name()
	if name == "" {
		return expr{}, p.wrong("the name of an attribute")
	}
	if p.at < len(p.s) && p.s[p.at] == '[' {
		return p.valuePath(name, depth)
	}
	return p.compare(name)
}

// valuePath reads NAME[filter], or NAME[filter].sub and a comparison: what Entra ID asks for a matching attribute.
func (p *parser) valuePath(name string, depth int) (expr, error) {
	if p.element {
		return expr{}, errors.New("there is no [ ] inside [ ]")
	}
	inner, err := p.brackets(depth)
	if err != nil {
		return expr{}, err
	}
	if p.at < len(p.s) && p.s[p.at] == '.' {
		p.at++
		sub := p.name()
		if sub == "" {
			return expr{}, p.wrong("the name of a sub-attribute")
		}
		more, err := p.compare(sub)
		if err != nil {
			return expr{}, err
		}
		inner = expr{op: "and", of: []expr{inner, more}}
	}
	return expr{op: "any", name: name, of: []expr{inner}}, nil
}

func (p *parser) brackets(depth int) (expr, error) {
	p.at++
	p.element = true
	inner, err := p.or(depth + 1)
	p.element = false
	if err == nil && !p.byte(']') {
		err = p.wrong("]")
	}
	return inner, err
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '$' || c == '.' || c == ':'
}

// name reads the name of an attribute, with its URN and its sub-attribute if it has them.
func (p *parser) name() string {
	p.space()
	start := p.at
	for p.at < len(p.s) && nameByte(p.s[p.at]) {
		p.at++
	}
	return p.s[start:p.at]
}

func (p *parser) compare(name string) (expr, error) {
	if p.word("pr") {
		return expr{op: "pr", name: name}, nil
	}
	for _, op := range operators {
		if p.word(op) {
			value, err := p.value()
			return expr{op: op, name: name, value: value}, err
		}
	}
	p.space()
	return expr{}, p.wrong("one of eq ne co sw ew gt ge lt le pr")
}

// value reads a JSON value that is neither a list nor an object.
func (p *parser) value() (any, error) {
	p.space()
	switch {
	case p.word("true"):
		return true, nil
	case p.word("false"):
		return false, nil
	case p.word("null"):
		return nil, nil
	case p.at < len(p.s) && p.s[p.at] == '"':
		return p.string()
	}
	start := p.at
	for p.at < len(p.s) && strings.IndexByte("+-.0123456789eE", p.s[p.at]) >= 0 {
		p.at++
	}
	var n float64
	if err := json.Unmarshal([]byte(p.s[start:p.at]), &n); err != nil {
		p.at = start
		return nil, p.wrong(`a value ("text", a number, true, false or null)`)
	}
	return n, nil
}

// string reads a JSON string: \" and \u00e9 mean what they mean there.
func (p *parser) string() (string, error) {
	start, plain := p.at, true
	for p.at++; p.at < len(p.s); p.at++ {
		switch c := p.s[p.at]; {
		case c == '\\':
			plain = false
			p.at++
		case c < ' ':
			return "", fmt.Errorf("a text has a control character (byte %d)", p.at+1)
		case c == '"':
			p.at++
			return unquote(p.s[start:p.at], plain)
		}
	}
	return "", errors.New(`a text has no " at its end`)
}

func unquote(s string, plain bool) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("a text is not UTF-8")
	}
	if plain {
		return s[1 : len(s)-1], nil
	}
	var out string
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		return "", fmt.Errorf("%s is no JSON string", clip(s))
	}
	return out, nil
}

// path is the target of a PATCH operation (RFC 7644, 3.5.2), as it is written.
type path struct {
	name   string // of the attribute, with its URN; and of its sub-attribute, when there is no filter
	filter *expr
	sub    string // behind the filter
}

// parsePath reads a path.
func parsePath(s string) (path, error) {
	if len(s) > maxFilter {
		return path{}, fmt.Errorf("the path has %d bytes, over %d", len(s), maxFilter)
	}
	p := parser{s: s}
	out := path{name: p.name()}
	if out.name == "" {
		return path{}, p.wrong("the name of an attribute")
	}
	if p.at < len(s) && s[p.at] == '[' {
		filter, err := p.brackets(0)
		if err != nil {
			return path{}, err
		}
		out.filter = &filter
		if p.at < len(s) && s[p.at] == '.' {
			p.at++
			if out.sub = p.name(); out.sub == "" {
				return path{}, p.wrong("the name of a sub-attribute")
			}
		}
	}
	p.space()
	if p.at < len(s) {
		return path{}, p.wrong("the end")
	}
	return out, nil
}

func quoted(s string) string { return strconv.Quote(clip(s)) }
