package snapshot

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
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

// Written by Go, read by C; and a file of an earlier day is read by both.
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
