package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

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
