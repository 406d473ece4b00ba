package scim

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestFiltersThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ filter, want string }{
		{"", "it ends where the name of an attribute is expected"},
		{"userName", "it ends where one of eq ne co sw ew gt ge lt le pr is expected"},
		{"userName eq", `it ends where a value ("text", a number, true, false or null) is expected`},
		{"userName eq jyoung", `at "jyoung" (byte 13) a value ("text", a number, true, false or null) is expected`},
		{`userName eq "x`, `a text has no " at its end`},
		{`userName eq "\q"`, `"\q" is no JSON string`},
		{`userName like "x"`, `at "like \"x\"" (byte 10) one of eq ne co sw ew gt ge lt le pr is expected`},
		{`(userName pr`, "it ends where ) is expected"},
		{`userName pr or 1=1`, `at "=1" (byte 17) one of eq ne co sw ew gt ge lt le pr is expected`},
		{`userName pr)`, `at ")" (byte 12) and, or, or the end is expected`},
		{`emails[type pr`, "it ends where ] is expected"},
		{`emails[type[value pr]]`, "there is no [ ] inside [ ]"},
		{"userName eq \"\xff\"", "a text is not UTF-8"},
		{strings.Repeat("(", 40) + "userName pr" + strings.Repeat(")", 40), "it is over 32 levels deep"},
		{strings.Repeat("a pr or ", 200) + "a pr", "it has over 200 terms"},
		{strings.Repeat("a", 9000), "the filter has 9000 bytes, over 8192"},
	} {
		if _, err := parseFilter(tt.filter); err == nil || err.Error() != tt.want {
			t.Errorf("%.60s: %v, want %s", tt.filter, err, tt.want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`userName eq "a@b"`, `emails[type eq "work" and not (value co "x")].value eq "y"`, `a pr or b eq true and c gt 1.5e3`,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "\u00e9"`, `((a pr))`, `not (a pr)`, `a eq null`, `[`, `"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseFilter(s)
		if err == nil {
			users.where(e)
			groups.where(e)
			again, err := parseFilter(written(e))
			if err != nil || written(again) != written(e) {
				t.Errorf("%q is written %q, which is read as %q, %v", s, written(e), written(again), err)
			}
		}
		if p, err := parsePath(s); err == nil && p.name == "" {
			t.Errorf("%q is a path to nothing", s)
		}
		if tt, err := users.target(s); err == nil {
			doc := object{"userName": "x"}
			for _, op := range []string{"add", "replace", "remove"} {
				users.patchTarget(doc, tt, operation{op: op, path: s, value: "v", has: true}, notKept)
			}
			if _, err := write(doc); err != nil {
				t.Errorf("%q makes a document that cannot be written: %v", s, err)
			}
		}
	})
}

// written is a filter as text again.
func written(e expr) string {
	switch e.op {
	case "and", "or":
		var all []string
		for _, one := range e.of {
			all = append(all, "("+written(one)+")")
		}
		return strings.Join(all, " "+e.op+" ")
	case "not":
		return "not (" + written(e.of[0]) + ")"
	case "any":
		return e.name + "[" + written(e.of[0]) + "]"
	case "pr":
		return e.name + " pr"
	}
	value, _ := json.Marshal(e.value)
	return e.name + " " + e.op + " " + string(value)
}

// What SQL says and what is said in Go of an element must be the same.
func TestSQLAndGoAgree(t *testing.T) {
	x := serve(t)
	elements := []string{
		`{"type":"work","value":"Ångström@w.example","primary":true}`, `{"type":"home","value":"100%_x@h.example"}`, `{"value":"plain"}`,
		`{"type":"other","value":"O'Neil \"q\" \\"}`, `{"type":"work","value":"Zz","display":"zz","primary":false}`,
	}
	for i, e := range elements {
		x.user(fmt.Sprintf(`{"userName":"u%d","emails":[%s]}`, i, e))
	}
	list := named(userSchema.attributes, "emails")
	values := []string{`"work"`, `"Å"`, `"ångström@W.example"`, `"%"`, `"_"`, `"100%_X"`, `""`, `"zz"`, `"\\"`, `"\"Q\""`, `true`, `"False"`, `null`}
	for _, name := range []string{"type", "value", "display", "primary"} {
		for _, op := range append([]string{"pr"}, operators...) {
			for _, value := range values {
				text := name + " " + op + " " + value
				if op == "pr" {
					text = name + " pr"
				}
				for _, form := range []string{text, "not (" + text + ")", text + ` and type eq "work"`, text + ` or primary eq true`} {
					filter, err := parseFilter(form)
					if err != nil {
						t.Fatal(form, err)
					}
					want := 0
					var refused error
					for _, one := range elements {
						var e object
						json.Unmarshal([]byte(one), &e)
						ok, err := matchElement(list, e, filter)
						if err != nil {
							refused = err
						}
						if ok {
							want++
						}
					}
					a := x.do("GET", "/Users?filter="+url.QueryEscape("emails["+form+"]"), "")
					if a.status == 400 {
						continue // SQL's side is the stricter
					}
					if got := int(a.body["totalResults"].(float64)); refused == nil && got != want {
						t.Errorf("emails[%s]: SQL finds %d, Go %d", form, got, want)
					}
				}
			}
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseFilter(`userName eq "alice@example.com"`); err != nil {
			b.Fatal(err)
		}
	}
}
