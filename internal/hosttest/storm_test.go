package hosttest

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pwb-project/pwb/internal/snapshot"
)

const (
	stormLanes = 6
	stormKills = 25
)

// storm is a provider that sends several requests at once to a front that is killed again and again. As providers do, it sends a
// request that was not answered once more.
type storm struct {
	t     *testing.T
	m     *machine
	token string

	mu    sync.RWMutex // is held by who restarts the front
	front *supervised

	answered chan struct{} // one for each change
	cut      atomic.Int64  // requests that were not answered
	over     atomic.Bool
}

// stormUser is what the provider has been told last.
type stormUser struct{ ID, UserName, DisplayName string }

func (s *storm) address() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.front.url + "/scim/v2"
}

// restart kills the front in the middle of what it does, and starts another.
func (s *storm) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.front.kill()
	s.front = s.m.serve()
	go s.front.listened()
}

// send sends a request until it is answered. again says that an earlier one may have been heard.
func (s *storm) send(method, path, body string) (status int, text []byte, again bool) {
	for ; ; again = true {
		r, err := http.NewRequest(method, s.address()+path, strings.NewReader(body))
		if err != nil {
			s.t.Error(err)
			return 0, nil, again
		}
		r.Header.Set("Authorization", "Bearer "+s.token)
		r.Header.Set("Content-Type", "application/scim+json")
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			text, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			return resp.StatusCode, text, again
		}
		s.cut.Add(1)
	}
}

func (s *storm) create(name string) (u stormUser, ok bool) {
	u = stormUser{UserName: name + "@example.com", DisplayName: "New " + name}
	status, text, again := s.send("POST", "/Users", fmt.Sprintf(`{"userName":%q,"externalId":%q,"displayName":%q}`, u.UserName, "x-"+name, u.DisplayName))
	if again && status == http.StatusConflict { // the first was heard, and its answer was lost
		var found struct{ Resources []json.RawMessage }
		status, text, _ = s.send("GET", "/Users?filter="+url.QueryEscape(fmt.Sprintf("userName eq %q", u.UserName)), "")
		if err := json.Unmarshal(text, &found); err != nil || len(found.Resources) != 1 {
			s.t.Errorf("%s, which is there: %d %s", u.UserName, status, text)
			return u, false
		}
		status, text = http.StatusCreated, found.Resources[0]
	}
	made := u
	if err := json.Unmarshal(text, &made); status != http.StatusCreated || err != nil || made.ID == "" || made.UserName != u.UserName || made.DisplayName != u.DisplayName {
		s.t.Errorf("create %s: %d %s", u.UserName, status, text)
		return u, false
	}
	return made, true
}

func (s *storm) rename(u *stormUser, to string) bool {
	status, text, _ := s.send("PATCH", "/Users/"+u.ID, fmt.Sprintf(`{"Operations":[{"op":"replace","path":"displayName","value":%q}]}`, to))
	if status != http.StatusOK {
		s.t.Errorf("change %s: %d %s", u.UserName, status, text)
		return false
	}
	u.DisplayName = to
	return true
}

// lane makes and changes users of its own, one after the other, and returns what it was told of them.
func (s *storm) lane(number int) (mine []stormUser) {
	random := rand.New(rand.NewPCG(1, uint64(number)))
	for step := 0; !s.over.Load(); step++ {
		if len(mine) == 0 || random.IntN(2) == 0 {
			u, ok := s.create(fmt.Sprintf("p%d-%d", number, step))
			if !ok {
				return mine
			}
			mine = append(mine, u)
		} else if !s.rename(&mine[random.IntN(len(mine))], fmt.Sprintf("Step %d", step)) {
			return mine
		}
		s.answered <- struct{}{}
	}
	return mine
}

// What was answered is not lost, and no id is given twice, whenever the front is killed; and in the end every program sees what
// the store has.
func TestAStormAndKills(t *testing.T) {
	m := registering(t, "")
	m.withServiceUser()
	m.start()
	s := &storm{t: t, m: m, front: m.serve(), answered: make(chan struct{}, 1<<16)}
	go s.front.listened()
	s.token = m.directory(s.front.url).token
	told := make([][]stormUser, stormLanes)
	var lanes sync.WaitGroup
	for i := range told {
		lanes.Go(func() { told[i] = s.lane(i) })
	}
	gone := make(chan struct{})
	go func() { lanes.Wait(); close(gone) }()
	for random, kills := rand.New(rand.NewPCG(2, 3)), 0; kills < stormKills; kills++ {
		for range 10 + random.IntN(30) {
			select {
			case <-s.answered:
			case <-gone:
				t.FailNow()
			}
		}
		s.restart()
	}
	s.over.Store(true)
	<-gone
	if s.cut.Load() == 0 {
		t.Error("no kill has met a request")
	}
	s.compare(told)
	m.expect("", 0, "whole", "/usr/bin/pwb", "audit", "verify")
}

// stormAccount is what Linux makes of a user.
type stormAccount struct {
	Name, Gecos string
	UID         uint32
}

// compare holds the store, by the operator's command, and the snapshot to what the lanes were told.
func (s *storm) compare(told [][]stormUser) {
	out, status := s.m.run("", "/usr/bin/pwb", "list-users", "--json")
	var all []struct {
		stormAccount
		Username string
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || status != 0 {
		s.t.Fatalf("list-users: %d, %v\n%s", status, err, out)
	}
	store, byUsername, holder := map[string]stormAccount{}, map[string]stormAccount{}, map[uint32]string{}
	for _, a := range all {
		if other, twice := holder[a.UID]; twice {
			s.t.Errorf("%s and %s have the uid %d", a.Name, other, a.UID)
		}
		holder[a.UID] = a.Name
		store[a.Name], byUsername[a.Username] = a.stormAccount, a.stormAccount
	}
	n := 0
	for _, mine := range told {
		for _, u := range mine {
			n++
			if got := byUsername[u.UserName].Gecos; got != u.DisplayName {
				s.t.Errorf("%s is called %q, and %q was answered", u.UserName, got, u.DisplayName)
			}
			var found stormUser
			if status, text, _ := s.send("GET", "/Users/"+u.ID, ""); json.Unmarshal(text, &found) != nil || found != u {
				s.t.Errorf("%+v: %d %s", u, status, text)
			}
		}
	}
	if n != len(all) {
		s.t.Errorf("%d users were made, and %d are there", n, len(all))
	}
	s.t.Logf("%d users, %d requests sent once more", n, s.cut.Load())
	s.m.until("the snapshot shows what the store has", func() bool {
		shown, _, err := snapshot.Read("/var/lib/pwb-nss/users.snap")
		if err != nil || len(shown.Users) != len(store) {
			return false
		}
		for _, u := range shown.Users {
			if store[u.Name] != (stormAccount{u.Name, u.Gecos, u.UID}) {
				return false
			}
		}
		return true
	})
}
