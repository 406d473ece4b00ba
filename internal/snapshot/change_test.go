package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChangesAreSeenByWhoHasTheFileMapped(t *testing.T) {
	path := folder(t)
	w := openAt(t, path)
	a := ask(t, build(t, path, sanitizers...))
	a.expect("n alice", "UNAVAIL ENOENT")
	if err := w.Replace(&some); err != nil {
		t.Fatal(err)
	}
	questions(a)
	dora := User{Name: "dora", UID: 5000, GID: 5000, Home: "/home/dora", Shell: "/bin/sh", Groups: []uint32{3000}}
	data := Group{Name: "data", GID: 3000, Members: []string{"alice", "dora"}}
	if err := w.Apply(8, Change{User: &dora}, Change{Group: &data}); err != nil {
		t.Fatal(err)
	}
	a.expect("n dora", "dora:x:5000:5000::/home/dora:/bin/sh")
	a.expect("G 3000", "data:x:3000:alice,dora")
	a.expect("i dora", "3000")
	dora.Name, dora.Gecos = "theodora", "renamed"
	if err := w.Apply(9, Change{User: &dora}, Change{User: &some.Users[2], Removed: true}, Change{Group: &some.Groups[2], Removed: true}); err != nil {
		t.Fatal(err)
	}
	a.expect("n dora", "NOTFOUND ENOENT")
	a.expect("n theodora", "theodora:x:5000:5000:renamed:/home/dora:/bin/sh")
	a.expect("u 4294967293", "NOTFOUND ENOENT")
	a.expect("n c", "NOTFOUND ENOENT")
	a.expect("g empty", "NOTFOUND ENOENT")
	users := strings.Fields(a.ask("p"))
	slices.Sort(users)
	if want := []string{"alice=2000", "bob@corp.example=3000000000", "theodora=5000"}; !slices.Equal(users, want) {
		t.Errorf("all users are %q, want %q", users, want)
	}
	// A new file is taken up at once, by the word in the old one.
	if err := w.Replace(&some); err != nil {
		t.Fatal(err)
	}
	questions(a)
	os.Remove(path) // what is mapped is still the best that is known
	questions(a)
}

// model is what a snapshot should show.
type model struct {
	users  map[uint32]User
	groups map[uint32]Group
}

func (m *model) change(r *rand.Rand) Change {
	id := 2000 + uint32(r.IntN(300))
	switch r.IntN(6) {
	case 0:
		delete(m.users, id)
		return Change{User: &User{UID: id}, Removed: true}
	case 1:
		delete(m.groups, id)
		return Change{Group: &Group{GID: id}, Removed: true}
	case 2, 3:
		g := Group{Name: fmt.Sprintf("g%d", id), GID: id}
		for range r.IntN(20) {
			g.Members = append(g.Members, fmt.Sprintf("u%d", r.IntN(300)))
		}
		m.groups[id] = g
		return Change{Group: &g}
	}
	u := User{Name: fmt.Sprintf("u%d", id), UID: id, GID: id, Gecos: strings.Repeat("x", r.IntN(50)), Home: "/h", Shell: "/s"}
	if r.IntN(10) == 0 {
		u.Name = fmt.Sprintf("renamed%d-%d", id, r.IntN(3))
	}
	m.users[id] = u
	return Change{User: &u}
}

func (m *model) contents(revision int64) Contents {
	return Contents{Revision: revision, Users: slices.Collect(maps.Values(m.users)), Groups: slices.Collect(maps.Values(m.groups))}
}

func TestManyChanges(t *testing.T) {
	leastSpare = 16 << 10
	defer func() { leastSpare = 1 << 20 }()
	path := folder(t)
	w := openAt(t, path)
	m := &model{map[uint32]User{}, map[uint32]Group{}}
	r := rand.New(rand.NewPCG(1, 2))
	full := 0
	for revision := int64(1); revision < 3000; revision++ {
		c := m.change(r)
		err := w.Apply(revision, c)
		if errors.Is(err, ErrFull) {
			full++
			all := m.contents(revision)
			err = w.Replace(&all)
		}
		if err != nil {
			t.Fatal(err)
		}
		if revision%100 == 0 {
			expectSame(t, path, m.contents(revision))
		}
	}
	if full < 3 {
		t.Errorf("the file was full %d times; the test shows nothing", full)
	}
}

// One account among a million is changed, and seen.
func BenchmarkOneChange(b *testing.B) {
	path := folder(b)
	w := openAt(b, path)
	c := &Contents{Revision: 1}
	for i := range uint32(1_000_000) {
		c.Users = append(c.Users, User{Name: fmt.Sprintf("user%d", i), UID: 70000 + i, GID: 70000 + i, Gecos: "First Last", Home: fmt.Sprintf("/home/user%d", i), Shell: "/bin/bash"})
	}
	began := time.Now()
	if err := w.Replace(c); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/rebuild")
	w.Close()
	i := 0
	for b.Loop() {
		i++
		w, err := Open(context.Background(), path)
		if err != nil {
			b.Fatal(err)
		}
		u := User{Name: fmt.Sprintf("new%d", i), UID: 3_000_000 + uint32(i%10000), GID: 2000, Home: "/", Shell: "/bin/sh", Gecos: fmt.Sprint(i)}
		if err := w.Apply(int64(i), Change{User: &u}); err != nil {
			b.Fatal(err)
		}
		w.Close()
	}
}

// A group of ten thousand whose members come one by one is not a new file for every few of them.
func TestALargeGroupHasRoomForChanges(t *testing.T) {
	large := Group{Name: "large", GID: 5000}
	for i := range 10_000 {
		large.Members = append(large.Members, fmt.Sprintf("person%d", i))
	}
	c := &Contents{Groups: []Group{large}}
	l := c.layout()
	if n := (l.size - l.tail) / large.size(); n < 60 {
		t.Errorf("room for %d changes of the largest group", n)
	}
	c.Groups[0].Members = nil
	for i := range 1_000_000 {
		c.Groups[0].Members = append(c.Groups[0].Members, fmt.Sprintf("person%d", i))
	}
	if l := c.layout(); l.size-l.tail > 17<<20 {
		t.Errorf("%d bytes are spare", l.size-l.tail)
	}
}
