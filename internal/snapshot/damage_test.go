package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

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
