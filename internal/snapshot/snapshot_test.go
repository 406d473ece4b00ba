package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"time"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("PWB_SNAPSHOT_CHILD"); path != "" {
		child(path)
		return
	}
	os.Exit(m.Run())
}

// build compiles the module's sources with a path of its own into the program ask.
func build(t testing.TB, path string, flags ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the module reads root's files only; run as root")
	}
	program := filepath.Join(t.TempDir(), "ask")
	args := append([]string{"-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-DPWB_MIN_ID=1000", `-DPWB_SNAPSHOT="` + path + `"`, "-o", program, "testdata/ask.c",
		"../../nss_pwb/nss_pwb.c", "../../nss_pwb/view.c", "../../nss_pwb/snapshot.c", "-lpthread"}, flags...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

var sanitizers = []string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"}

// asker is the program ask, which keeps its mapping from one question to the next.
type asker struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Reader
}

func ask(t testing.TB, program string) *asker {
	t.Helper()
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program that asks: %v", err)
		}
	})
	return &asker{t, in, bufio.NewReaderSize(out, 1<<20)}
}

func (a *asker) ask(question string) string {
	a.t.Helper()
	fmt.Fprintln(a.in, question)
	line, err := a.out.ReadString('\n')
	if err != nil {
		a.t.Fatalf("%q: %v", question, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (a *asker) expect(question, want string) {
	a.t.Helper()
	if got := a.ask(question); got != want {
		a.t.Errorf("%q is answered with %q, not %q", question, got, want)
	}
}

func openAt(t testing.TB, path string) *Writer {
	t.Helper()
	w, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// folder is one that a writer trusts.
func folder(t testing.TB) string { return filepath.Join(t.TempDir(), "nss", "users.snap") }

var some = Contents{
	Origin:   [16]byte{1, 2, 3},
	Revision: 7,
	Users: []User{
		{Name: "alice", UID: 2000, GID: 2000, Gecos: "Alice Liddell", Home: "/home/alice", Shell: "/bin/bash", Groups: []uint32{3000, 3001}},
		{Name: "bob@corp.example", UID: 3000000000, GID: 2000, Gecos: "Jörg", Home: "/home/" + strings.Repeat("d", 400), Shell: ""},
		{Name: "c", UID: 4294967293, GID: 1000, Home: "/"},
	},
	Groups: []Group{
		{Name: "alice", GID: 2000},
		{Name: "data", GID: 3000, Members: []string{"alice", "bob@corp.example"}},
		{Name: "empty", GID: 3001},
	},
}

func sorted(c *Contents) *Contents {
	slices.SortFunc(c.Users, func(a, b User) int { return int(int64(a.UID) - int64(b.UID)) })
	slices.SortFunc(c.Groups, func(a, b Group) int { return int(int64(a.GID) - int64(b.GID)) })
	return c
}

func expectSame(t *testing.T, path string, want Contents) {
	t.Helper()
	got, _, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want = Contents{want.Origin, want.Revision, slices.Clone(want.Users), slices.Clone(want.Groups)}
	if !reflect.DeepEqual(sorted(got), sorted(&want)) {
		t.Errorf("read %+v\nwant %+v", got, &want)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := folder(t)
	if err := openAt(t, path).Replace(&some); err != nil {
		t.Fatal(err)
	}
	expectSame(t, path, some)
	if origin, revision, ok := Shown(path); origin != some.Origin || revision != 7 || !ok {
		t.Errorf("Shown = %v, %d, %v", origin, revision, ok)
	}
}

func questions(a *asker) {
	a.expect("n alice", "alice:x:2000:2000:Alice Liddell:/home/alice:/bin/bash")
	a.expect("u 2000", "alice:x:2000:2000:Alice Liddell:/home/alice:/bin/bash")
	a.expect("n bob@corp.example", "bob@corp.example:x:3000000000:2000:Jörg:/home/"+strings.Repeat("d", 400)+":")
	a.expect("u 4294967293", "c:x:4294967293:1000::/:")
	a.expect("g data", "data:x:3000:alice,bob@corp.example")
	a.expect("G 3001", "empty:x:3001:")
	a.expect("i alice", "3000 3001")
	a.expect("i c", "")
	a.expect("s alice", "alice:*")
	a.expect("n nobody-here", "NOTFOUND ENOENT")
	a.expect("n root", "NOTFOUND ENOENT")
	a.expect("u 0", "NOTFOUND ENOENT")
	a.expect("G 65534", "NOTFOUND ENOENT")
	a.expect("i nobody-here", "NOTFOUND ENOENT")
}

// Written by Go, read by C; and a file of an earlier day is read by both.
// Who walks through all users and forks goes on with the rest in the child, as with a file; the parent is not disturbed.
func TestAWalkGoesOnInAChild(t *testing.T) {
	path := folder(t)
	w := openAt(t, path)
	if err := w.Replace(&some); err != nil {
		t.Fatal(err)
	}
	a := ask(t, build(t, path, sanitizers...))
	for range 3 {
		var mine, childs []string
		words := strings.Fields(a.ask("f"))
		for i := 0; i < len(words); i++ {
			if words[i] == "child's" {
				i++
				childs = append(childs, words[i])
			} else {
				mine = append(mine, words[i])
			}
		}
		if len(mine) != 3 || len(childs) != 1 || childs[0] != mine[2] {
			t.Errorf("the parent saw %v, the child went on with %v", mine, childs)
		}
	}
}

func TestGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/golden.snap")
	if os.Getenv("PWB_WRITE_GOLDEN") != "" {
		path := folder(t)
		leastSpare = 0
		if err := openAt(t, path).Replace(&some); err != nil {
			t.Fatal(err)
		}
		golden, err = os.ReadFile(path)
		if err == nil {
			err = os.WriteFile("testdata/golden.snap", golden, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	path := folder(t)
	os.Mkdir(filepath.Dir(path), 0o755)
	if err := os.WriteFile(path, golden, 0o644); err != nil {
		t.Fatal(err)
	}
	expectSame(t, path, some)
	questions(ask(t, build(t, path, sanitizers...)))
}

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

func TestEntriesThatCannotBeShown(t *testing.T) {
	path := folder(t)
	w := openAt(t, path)
	if err := w.Replace(&some); err != nil {
		t.Fatal(err)
	}
	good := User{Name: "x", UID: 2001, GID: 2001, Home: "/", Shell: "/bin/sh"}
	for _, bad := range []func(*User){
		func(u *User) { u.Name = "root" }, func(u *User) { u.Name = "" }, func(u *User) { u.Name = "a:b" }, func(u *User) { u.Name = "a\nb" },
		func(u *User) { u.Name = "+x" }, func(u *User) { u.Name = strings.Repeat("n", 256) }, func(u *User) { u.UID = 0 }, func(u *User) { u.UID = 999 },
		func(u *User) { u.UID = 65534 }, func(u *User) { u.UID = 61184 }, func(u *User) { u.UID = 1<<32 - 1 }, func(u *User) { u.GID = 0 },
		func(u *User) { u.Gecos = "a:b" }, func(u *User) { u.Home = "/\n" }, func(u *User) { u.Shell = strings.Repeat("s", 1<<16) },
	} {
		u := good
		bad(&u)
		if err := w.Apply(8, Change{User: &u}); !errors.Is(err, ErrEntry) {
			t.Errorf("%.40q: %v, want %v", fmt.Sprint(u), err, ErrEntry)
		}
		if err := w.Replace(&Contents{Users: []User{u}}); !errors.Is(err, ErrEntry) {
			t.Errorf("%.40q: %v, want %v", fmt.Sprint(u), err, ErrEntry)
		}
	}
	if err := w.Replace(&Contents{Users: []User{good, {Name: "y", UID: 2001, GID: 2001}}}); !errors.Is(err, ErrEntry) {
		t.Errorf("one uid twice: %v", err)
	}
	expectSame(t, path, some)
}

// A file that a machine's crash may have left half is not changed but written anew.
func TestFilesThatAreNotChanged(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"of an earlier run": func(b []byte) []byte { b[atBoot]++; return b },
		"of another format": func(b []byte) []byte { b[atVersion]++; return b },
		"with a bad header": func(b []byte) []byte { b[atIndex]++; return b },
		"cut":               func(b []byte) []byte { return b[:len(b)-1] },
		"empty":             func(b []byte) []byte { return nil },
		"a tail outside":    func(b []byte) []byte { b[atTail+7] = 1; return b },
	} {
		path := folder(t)
		w := openAt(t, path)
		if err := w.Replace(&some); err != nil {
			t.Fatal(err)
		}
		w.Close()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		if err := os.WriteFile(path, spoil(b), 0o644); err != nil {
			t.Fatal(err)
		}
		w = openAt(t, path)
		if got := w.Revision(); got != -1 {
			t.Errorf("%s: revision %d", name, got)
		}
		if err := w.Apply(9, Change{User: &some.Users[0]}); !errors.Is(err, ErrFull) {
			t.Errorf("%s: Apply: %v", name, err)
		}
		if err := w.Replace(&some); err != nil || w.Revision() != 7 {
			t.Errorf("%s: Replace: %v", name, err)
		}
		w.Close()
	}
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

// child changes a snapshot for ever; what it changes follows from the revision alone.
func child(path string) {
	for {
		w, err := Open(context.Background(), path)
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		revision := w.Revision()
		if revision < 0 {
			m := at(0)
			all := m.contents(0)
			err = w.Replace(&all)
		} else {
			_, changes := until(revision, revision+1)
			if err = w.Apply(revision+1, changes...); errors.Is(err, ErrFull) {
				m := at(revision + 1)
				all := m.contents(revision + 1)
				err = w.Replace(&all)
			}
		}
		if err = errors.Join(err, w.Close()); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("ok")
	}
}

func at(revision int64) *model {
	m, _ := until(0, revision)
	return m
}

// until is the story of all revisions, three changes each.
func until(from, to int64) (*model, []Change) {
	m := &model{map[uint32]User{}, map[uint32]Group{}}
	r := rand.New(rand.NewPCG(3, 4))
	var changes []Change
	for revision := int64(1); revision <= to; revision++ {
		for range 3 {
			if c := m.change(r); revision > from {
				changes = append(changes, c)
			}
		}
	}
	return m, changes
}

func TestWritersThatAreKilled(t *testing.T) {
	path := folder(t)
	for round := range 25 {
		var wg sync.WaitGroup
		for i := range 2 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "PWB_SNAPSHOT_CHILD="+path)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				lines := bufio.NewScanner(out)
				for n := 0; n < 3+round%4+i && lines.Scan(); n++ {
					if lines.Text() != "ok" {
						t.Error(lines.Text())
					}
				}
				time.Sleep(time.Duration(round*37%200) * time.Microsecond)
				cmd.Process.Kill()
				cmd.Wait()
			})
		}
		wg.Wait()
		// The next writer shows what the one that was killed may have shown half.
		w := openAt(t, path)
		revision := w.Revision()
		_, changes := until(revision, revision+1)
		if err := w.Apply(revision+1, changes...); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		w.Close()
		if got, _, err := Read(path); err != nil || got.Revision != revision+1 {
			t.Fatalf("round %d: %v", round, err)
		}
		expectSame(t, path, at(revision+1).contents(revision+1))
	}
}

// Eight threads read while every field of what they read is changed together, in place and by new files.
func TestReadersNeverSeeHalf(t *testing.T) {
	path := folder(t)
	w := openAt(t, path)
	users := func(round int) (all []User) {
		for i := range 100 {
			all = append(all, User{Name: fmt.Sprintf("u%d", i), UID: uint32(2000 + i), GID: 2000, Gecos: fmt.Sprintf("round %d", round), Home: fmt.Sprintf("/home/%d/u", round), Shell: fmt.Sprintf("/bin/%d", round)})
		}
		return all
	}
	if err := w.Replace(&Contents{Users: users(0)}); err != nil {
		t.Fatal(err)
	}
	program := build(t, path, "-O2")
	done := make(chan []byte)
	go func() {
		out, err := exec.Command(program, "spin", "2").CombinedOutput()
		done <- fmt.Appendf(out, "%v", err)
	}()
	changes, files := 0, 0
	for round := 1; ; round++ {
		all := users(round)
		for i := range all {
			err := w.Apply(int64(round), Change{User: &all[i]})
			if errors.Is(err, ErrFull) || i == 0 && round%10 == 1 { // by itself a file is full after some time, on a fast machine
				files++
				err = w.Replace(&Contents{Users: all})
			}
			if err != nil {
				t.Fatal(err)
			}
			changes++
		}
		select {
		case out := <-done:
			if !strings.Contains(string(out), " whole\n<nil>") {
				t.Errorf("after %d changes and %d files: %s", changes, files, out)
			}
			if files == 0 || changes < 200 {
				t.Errorf("%d changes and %d files only: the test shows half of what it should", changes, files)
			}
			return
		default:
		}
	}
}

// Bytes of a disk that has gone wrong harm nobody who reads them.
func TestDamage(t *testing.T) {
	path := folder(t)
	w := openAt(t, path)
	leastSpare = 0
	defer func() { leastSpare = 1 << 20 }()
	if err := w.Replace(&some); err != nil {
		t.Fatal(err)
	}
	w.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	program := build(t, path, sanitizers...)
	f, _ := parseHeader(slices.Clone(whole))
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		b := slices.Clone(whole)
		for range 1 + r.IntN(20) {
			switch r.IntN(3) {
			case 0:
				b[r.IntN(200)] = byte(r.Uint32())
			case 1:
				b[headerLen+r.IntN(f.records-headerLen)] = byte(r.Uint32())
			case 2:
				b[f.records+r.IntN(900)] = byte(r.Uint32())
			}
		}
		if i%2 == 0 { // a header that is believed, so that what is behind it is looked at
			le.PutUint32(b[atStaticSum:], checksum(b[:staticLen]))
		}
		os.Remove(path)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		var questions strings.Builder
		for _, u := range some.Users {
			fmt.Fprintf(&questions, "n %s\nu %d\ni %s\ns %s\n", u.Name, u.UID, u.Name, u.Name)
		}
		for _, g := range some.Groups {
			fmt.Fprintf(&questions, "g %s\nG %d\n", g.Name, g.GID)
		}
		questions.WriteString("p\ne\n")
		cmd := exec.Command(program)
		cmd.Stdin = strings.NewReader(questions.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			os.WriteFile(filepath.Join(os.TempDir(), "damaged.snap"), b, 0o644)
			t.Fatalf("round %d: %v\n%s", i, err, out)
		}
	}
}

func FuzzRead(f *testing.F) {
	golden, err := os.ReadFile("testdata/golden.snap")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), uint64(0), true)
	f.Fuzz(func(t *testing.T, at uint32, value uint64, sum bool) {
		b := make([]uint64, len(golden)/8)
		whole := bytesOf(b)
		copy(whole, golden)
		le.PutUint64(whole[int(at)%(len(whole)-8):], value)
		if sum {
			le.PutUint32(whole[atStaticSum:], checksum(whole[:staticLen]))
		}
		if file, err := parseHeader(whole); err == nil {
			c := new(Contents)
			file.readUsers(c)
			file.readGroups(c)
		}
	})
}

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

// A file whose checksums are right and whose numbers lie: whoever is root can write one, and so can a fault in this package.
func TestFilesThatLie(t *testing.T) {
	seconds := os.Getenv("PWB_HOSTILE_SECONDS")
	if seconds == "" {
		seconds = "3"
	}
	path := folder(t)
	leastSpare = 0
	defer func() { leastSpare = 1 << 20 }()
	c := Contents{Revision: 1}
	for i := range uint32(6) {
		c.Users = append(c.Users, User{Name: fmt.Sprintf("u%d", i), UID: 2000 + i, GID: 2000 + i, Gecos: "Some Body", Home: "/home/u", Shell: "/bin/sh", Groups: []uint32{2006, 2007}[:i%3]})
		c.Groups = append(c.Groups, Group{Name: fmt.Sprintf("g%d", i), GID: 2006 + i, Members: []string{"u1", "u2", "somebody-with-a-long-name"}[:i%4]})
	}
	w := openAt(t, path)
	if err := w.Replace(&c); err != nil {
		t.Fatal(err)
	}
	w.Close()
	program := filepath.Join(t.TempDir(), "hostile")
	args := append([]string{"-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-DPWB_MIN_ID=1000", `-DPWB_SNAPSHOT="/nowhere"`, "-o", program, "testdata/hostile.c"}, sanitizers...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	seed := fmt.Sprint(time.Now().UnixNano())
	out, err := exec.Command(program, path, seed, seconds).CombinedOutput()
	if err != nil {
		t.Errorf("seed %s: %v: %.4000s", seed, err, out)
	}
	t.Logf("%s", out)
}

// Somebody has cut the file short under the writer: that ends nothing but the file.
func TestAFileThatIsCutShort(t *testing.T) {
	path := folder(t)
	w := openAt(t, path)
	defer w.Close()
	if err := w.Replace(&some); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	u := some.Users[0]
	u.Gecos = "Another"
	if err := w.Apply(99, Change{User: &u}); !errors.Is(err, ErrFull) {
		t.Fatalf("Apply = %v", err)
	}
	if err := w.Replace(&some); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(path); err != nil {
		t.Error(err)
	}
}

// A file system that promises no room (it knows no fallocate) can have none when it is written to.
func TestNoRoomWhileItIsWritten(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := some.layout()
	if err := f.Truncate(int64(l.size)); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, l.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if err := f.Truncate(headerLen); err != nil {
		t.Fatal(err)
	}
	if err := some.fill(b, l); err == nil {
		t.Error("a file that cannot be written was")
	}
}

// A writer that was stopped in the middle keeps the lock. Others give up when they have to, and go on when it lets go.
func TestAWriterThatWasStopped(t *testing.T) {
	path := folder(t)
	stopped := openAt(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for range 3 {
		if w, err := Open(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Open = %v, %v", w, err)
		}
	}
	stopped.Close()
	openAt(t, path)
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
