package snapshot

import (
	"slices"
	"strings"
	"testing"
)

func TestReadText(t *testing.T) {
	var leftOut []string
	c, err := ReadText(strings.NewReader("root:x:0:0:root:/root:/bin/sh\n# nobody\n\nalice:x:2000:2000:A:/home/alice:/bin/sh\nalice:x:2001:2001::/:/\nbob:x:2000:2000::/:/\nold:x:5:60::/:/\n"),
		strings.NewReader("root:x:0:\ndata:x:3000:alice,nobody,alice\nmore:x:3001:alice\n"), func(why error) { leftOut = append(leftOut, why.Error()) })
	if err != nil || len(c.Users) != 1 || !slices.Equal(c.Users[0].Groups, []uint32{3000, 3001}) || len(c.Groups) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	want := []string{
		`user "root": cannot be shown: its name is root`, `user "alice": cannot be shown: the name is there twice`, `user "bob": cannot be shown: "alice" has uid 2000 too`,
		`user "old": cannot be shown: uid 5 belongs to the machine`, `group "root": cannot be shown: its name is root`,
	}
	if !slices.Equal(leftOut, want) {
		t.Errorf("left out %q, want %q", leftOut, want)
	}
	for text, want := range map[string]string{
		"alice:x:2000\n":              "passwd, line 1: 3 fields, not 7",
		"\nalice:x:two:2000:A:/:/\n":  `passwd, line 2: "two" is no id`,
		"alice:x:2000:-1:A:/:/\n":     `passwd, line 1: "-1" is no id`,
		"a:x:4294967296:1000:A:/:/\n": `passwd, line 1: "4294967296" is no id`,
	} {
		if _, err := ReadText(strings.NewReader(text), strings.NewReader(""), func(error) {}); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzReadText(f *testing.F) {
	f.Add("alice:x:2000:2000:A:/home/alice:/bin/sh\n", "data:x:3000:alice\n")
	f.Fuzz(func(t *testing.T, passwd, group string) {
		c, err := ReadText(strings.NewReader(passwd), strings.NewReader(group), func(error) {})
		if err != nil {
			return
		}
		if err := c.distinct(); err != nil {
			t.Errorf("%q, %q: taken, and then: %v", passwd, group, err)
		}
	})
}
