package provision

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

// child registers its share of people, for ever new ones, and says each, until it has done them all or is killed.
func child(path string) {
	s, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	p := &Provisioner{Store: s, Machine: &machine{}, Register: &Register{FirstLogin: true, StartUID: 1000, StartGID: 1000, HomePath: "/home", Shell: "/bin/sh"}}
	from, _ := strconv.Atoi(os.Getenv("PWB_PROVISION_FROM"))
	count, _ := strconv.Atoi(os.Getenv("PWB_PROVISION_COUNT"))
	var wg sync.WaitGroup
	var mu sync.Mutex // guards standard output
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				who := fmt.Sprintf("p%d", i)
				name, err := p.Login(ctx, told(evidence(who+" "+os.Getenv("PWB_PROVISION_ROUND"), who, who), true, "all", fmt.Sprintf("team-%d", i%50)), "")
				mu.Lock()
				if err != nil {
					fmt.Println("error", err)
				} else {
					fmt.Println("ok", name)
				}
				mu.Unlock()
			}
		})
	}
	for i := range count {
		next <- from + i
	}
	close(next)
	wg.Wait()
}

func start(t *testing.T, path, round string, from, count int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PWB_PROVISION_CHILD="+path, "PWB_PROVISION_ROUND="+round,
		fmt.Sprintf("PWB_PROVISION_FROM=%d", from), fmt.Sprintf("PWB_PROVISION_COUNT=%d", count), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// whole demands that no id and no name is twice, that every account has its groups, and that private groups are nobody else's.
func whole(t *testing.T, path string, least int) {
	t.Helper()
	s, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	changes, err := s.Changes(ctx, -1)
	if err != nil || len(changes.Accounts) < least {
		t.Fatalf("%d accounts, want %d or more; %v", len(changes.Accounts), least, err)
	}
	ids, gids := map[account.UID]account.Name{}, map[account.GID]bool{}
	for _, g := range changes.Groups {
		if gids[g.GID] {
			t.Errorf("gid %d is twice", g.GID)
		}
		gids[g.GID] = true
	}
	for _, a := range changes.Accounts {
		if other, twice := ids[a.UID]; twice || gids[a.GID()] || a.UID < 1000 {
			t.Errorf("%q has uid %d, which %q or a group has", a.Name, a.UID, other)
		}
		ids[a.UID] = a.Name
		if len(a.GIDs) != 2 || string(a.Name) != a.Identity.Subject || a.Home != "/home/"+string(a.Name) {
			t.Errorf("%q is half: %+v", a.Name, a)
		}
	}
}

// Eight processes, 10,000 people who have never been here.
func TestAStormOfFirstLogins(t *testing.T) {
	people := stormOfPeople
	path := filepath.Join(t.TempDir(), "pwb.db")
	var wg sync.WaitGroup
	for i := range 8 {
		share := people / 8
		cmd, lines := start(t, path, "", i*share, share)
		wg.Go(func() {
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "error") {
					t.Error(lines.Text())
				}
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	whole(t, path, people)
}

// Processes are killed in the middle of registering people; what was said to be done is done, and the rest can be done again.
func TestRegisteringProcessesAreKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pwb.db")
	done := map[string]bool{}
	for round := range 12 {
		var wg sync.WaitGroup
		var mu sync.Mutex // guards done
		for i := range 3 {
			cmd, lines := start(t, path, fmt.Sprint(round), i*500, 500)
			wg.Go(func() {
				for n := 0; lines.Scan(); n++ {
					switch word, name, _ := strings.Cut(lines.Text(), " "); {
					case word == "ok":
						mu.Lock()
						done[name] = true
						mu.Unlock()
					case word == "error":
						t.Error(lines.Text())
					}
					if n == 10+round*3 {
						cmd.Process.Kill()
					}
				}
				cmd.Wait()
			})
		}
		wg.Wait()
		whole(t, path, len(done))
	}
	s, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name := range done {
		if _, err := s.ByName(ctx, account.Name(name)); err != nil {
			t.Errorf("%q was registered, and is lost: %v", name, err)
		}
	}
}
