package snapshot

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ReadText makes contents of the text of passwd(5) and group(5). leftOut is told of each entry that no reader would show, as
// those of the machine itself; a line that is no entry is an error that names it.
func ReadText(passwd, group io.Reader, leftOut func(why error)) (*Contents, error) {
	c := new(Contents)
	at, uids := map[string]int{}, map[uint32]string{}
	err := eachEntry(passwd, "passwd", 7, func(f []string) error {
		uid, gid, err := twoIDs(f[2], f[3])
		if err != nil {
			return err
		}
		u := User{Name: f[0], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]}
		why := u.Check()
		if _, twice := at[u.Name]; twice && why == nil {
			why = fmt.Errorf("user %q: %w: the name is there twice", u.Name, ErrEntry)
		}
		if other, twice := uids[uid]; twice && why == nil {
			why = fmt.Errorf("user %q: %w: %q has uid %d too", u.Name, ErrEntry, other, uid)
		}
		if why != nil {
			leftOut(why)
			return nil
		}
		at[u.Name], uids[uid] = len(c.Users), u.Name
		c.Users = append(c.Users, u)
		return nil
	})
	if err != nil {
		return nil, err
	}
	names, gids := map[string]bool{}, map[uint32]string{}
	err = eachEntry(group, "group", 4, func(f []string) error {
		gid, _, err := twoIDs(f[2], "0")
		if err != nil {
			return err
		}
		g := Group{Name: f[0], GID: gid, Members: fields(f[3])}
		why := g.Check()
		if names[g.Name] && why == nil {
			why = fmt.Errorf("group %q: %w: the name is there twice", g.Name, ErrEntry)
		}
		if other, twice := gids[gid]; twice && why == nil {
			why = fmt.Errorf("group %q: %w: %q has gid %d too", g.Name, ErrEntry, other, gid)
		}
		if why != nil {
			leftOut(why)
			return nil
		}
		names[g.Name], gids[gid] = true, g.Name
		c.Groups = append(c.Groups, g)
		for _, m := range g.Members {
			if i, is := at[m]; is && (len(c.Users[i].Groups) == 0 || c.Users[i].Groups[len(c.Users[i].Groups)-1] != gid) {
				c.Users[i].Groups = append(c.Users[i].Groups, gid)
			}
		}
		return nil
	})
	return c, err
}

func fields(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func twoIDs(a, b string) (x, y uint32, err error) {
	n, err := strconv.ParseUint(a, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("%q is no id", a)
	}
	m, err := strconv.ParseUint(b, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("%q is no id", b)
	}
	return uint32(n), uint32(m), nil
}

const maxTextLine = 64 << 20 // a group of a million members

func eachEntry(r io.Reader, what string, count int, each func([]string) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxTextLine)
	n := 0
	for lines.Scan() {
		n++
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, ":")
		if len(f) != count {
			return fmt.Errorf("%s, line %d: %d fields, not %d", what, n, len(f), count)
		}
		if err := each(f); err != nil {
			return fmt.Errorf("%s, line %d: %w", what, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s, behind line %d: %w", what, n, err)
	}
	return nil
}
