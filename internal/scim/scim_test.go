package scim

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
)

// nobody is a machine without accounts.
type nobody struct{}

func (nobody) ByName(string) (passwd.Entry, error)               { return passwd.Entry{}, passwd.ErrNotFound }
func (nobody) ByUID(account.UID) (passwd.Entry, error)           { return passwd.Entry{}, passwd.ErrNotFound }
func (nobody) GroupByName(string) (account.GID, error)           { return 0, passwd.ErrNotFound }
func (nobody) GroupByID(account.GID) (string, error)             { return "", passwd.ErrNotFound }
func (nobody) Groups(string, account.GID) ([]account.GID, error) { return nil, nil }

// service is a door over a real store.
type service struct {
	t        testing.TB
	handler  *Handler
	store    *store.Store
	accounts *provision.Provisioner
	token    string
	now      time.Time
}

func serve(t testing.TB) *service {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{Path: filepath.Join(t.TempDir(), "pwb.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	x := &service{t: t, store: s, now: time.Now()}
	x.accounts = &provision.Provisioner{
		Store: s, Machine: nobody{}, Register: &provision.Register{StartUID: 1000, StartGID: 1000, HomePath: "/home", Shell: "/bin/bash"},
		Directory: &provision.Directory{Store: s, Issuer: "https://idp", Suffix: true, Leave: provision.Leaving("suspend-new", time.Minute),
			Subject: func(id string) (string, bool) { return "tenant/" + id, strings.HasPrefix(id, "oid-") }},
	}
	x.handler = New(Config{Accounts: x.accounts, Store: s, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return x.now }})
	x.token = x.newToken(ScopeWrite)
	return x
}

func (x *service) newToken(scope string) string {
	x.t.Helper()
	text, id, hash, err := NewToken()
	if err != nil {
		x.t.Fatal(err)
	}
	if err := x.store.PutToken(x.t.Context(), store.Token{ID: id, Name: "t", Hash: hash, Scope: scope, Created: x.now}); err != nil {
		x.t.Fatal(err)
	}
	return text
}

type answer struct {
	status int
	header http.Header
	body   object
	text   string
}

func (x *service) do(method, path, body string, header ...string) answer {
	x.t.Helper()
	r := httptest.NewRequest(method, mount+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+x.token)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	x.handler.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	if a.text != "" {
		if err := json.Unmarshal([]byte(a.text), &a.body); err != nil {
			x.t.Fatalf("%s %s: %v in %q", method, path, err, a.text)
		}
	}
	return a
}

// must is do that has to end in a status.
func (x *service) must(status int, method, path, body string, header ...string) answer {
	x.t.Helper()
	a := x.do(method, path, body, header...)
	if a.status != status {
		x.t.Fatalf("%s %s %.200s = %d %.400s, want %d", method, path, body, a.status, a.text, status)
	}
	return a
}

func (x *service) user(body string) (id string, a answer) {
	x.t.Helper()
	a = x.must(201, "POST", "/Users", body)
	return a.body["id"].(string), a
}

func ops(list string) string {
	return `{"schemas":["` + urnPatchOp + `"],"Operations":` + list + `}`
}

func TestErrorsAreWordsForAnIdentityAdministrator(t *testing.T) {
	x := serve(t)
	id, _ := x.user(`{"userName":"alice@example.com","externalId":"oid-a"}`)
	x.must(201, "POST", "/Groups", `{"displayName":"Staff"}`)
	for _, tt := range []struct {
		method, path, body string
		status             int
		kind, detail       string
	}{
		{"POST", "/Users", `{"displayName":"x"}`, 400, "invalidValue", "userName is required"},
		{"POST", "/Users", `{"userName":"Alice@EXAMPLE.com"}`, 409, "uniqueness", `userName "Alice@EXAMPLE.com": another resource has it already`},
		{"POST", "/Users", `{"userName":"bob","externalId":"oid-a"}`, 409, "uniqueness", `externalId "oid-a": another user is this person`},
		{"POST", "/Users", `{"userName":"a:b"}`, 400, "invalidValue", `username "a:b" has a character that no login name is made of: not a login name for people`},
		{"POST", "/Users", `{"userName":"root"}`, 400, "invalidValue", `login name "root" is reserved: not a login name for people`},
		{"POST", "/Users", `{"userName":"a\nroot:x:0:0"}`, 400, "invalidValue", `userName "a\nroot:x:0:0" has a control character`},
		{"POST", "/Users", `{"userName":"c","active":"maybe"}`, 400, "invalidValue", "active is true or false"},
		{"POST", "/Users", `{"userName":"c","USERNAME":"d"}`, 400, "invalidSyntax", "userName is given twice"},
		{"POST", "/Users", `{"userName":7}`, 400, "invalidValue", "userName is a text"},
		{"POST", "/Users", `[]`, 400, "invalidSyntax", "the body is no JSON object"},
		{"POST", "/Users", ``, 400, "invalidSyntax", "the body is empty"},
		{"POST", "/Users", `{"userName":"x"} {}`, 400, "invalidSyntax", "something follows the JSON object"},
		{"POST", "/Users", "{\"userName\":\"\xff\"}", 400, "invalidSyntax", "the body is not UTF-8"},
		{"POST", "/Users", strings.Repeat(`{"a":`, 40), 400, "invalidSyntax", "the body is over 32 levels deep"},
		{"PATCH", "/Users/" + id, ops(`[{"op":"remove"}]`), 400, "noTarget", "operation 1: remove needs a path"},
		{"PATCH", "/Users/" + id, ops(`[{"op":"move","path":"title","value":"x"}]`), 400, "invalidSyntax", `operation 1: op is "move", none of add, replace, remove`},
		{"PATCH", "/Users/" + id, ops(`[{"op":"replace","path":"id","value":"x"}]`), 400, "mutability", "id cannot be changed by a client"},
		{"PATCH", "/Users/" + id, ops(`[{"op":"replace","value":{"id":"x"}}]`), 400, "mutability", "id cannot be changed by a client"},
		{"PATCH", "/Users/" + id, ops(`[{"op":"remove","path":"userName"}]`), 400, "mutability", "userName is required and cannot be removed"},
		{"PATCH", "/Users/" + id, ops(`[{"op":"replace","path":"userName","value":""}]`), 400, "invalidValue", "userName is required"},
		{"PATCH", "/Users/" + id, ops(`[{"op":"replace","path":"shoeSize","value":"44"}]`), 400, "invalidPath", `path "shoeSize": a User has no such attribute`},
		{"PATCH", "/Users/" + id, ops(`[{"op":"replace","path":"` + urnPosixUser + `:uidNumber","value":0}]`), 400, "mutability", urnPosixUser + ":uidNumber cannot be changed by a client"},
		{"PATCH", "/Users/" + id, ops(`[{"op":"replace","path":"emails[type eq \"nonexistent\"].value","value":"x"}]`), 400, "noTarget", `no value of emails is as "emails[type eq \"nonexist…" says`},
		{"PATCH", "/Users/none", ops(`[{"op":"remove"}]`), 404, "", "there is no such resource, or no more"},
		{"PATCH", "/Users/" + id, `{}`, 400, "invalidSyntax", "a PATCH has a list called Operations"},
		{"POST", "/Groups", `{"displayName":"STAFF"}`, 409, "uniqueness", `displayName "STAFF": another resource has it already`},
		{"POST", "/Groups", `{"displayName":"G","members":[{"value":"nobody"}]}`, 400, "invalidValue", `members: no user has the id "nobody" here; groups in groups are not supported`},
		{"POST", "/Groups", `{"displayName":"G","members":7}`, 400, "invalidValue", "a member is an object whose value is the id of a user"},
		{"GET", "/Users?filter=shoeSize+eq+%2244%22", "", 400, "invalidFilter", `filter: a User has no attribute "shoeSize"`},
		{"GET", "/Users?filter=active+gt+true", "", 400, "invalidFilter", "filter: active is true or false, and is compared by eq or ne"},
		{"GET", "/Users?filter=password+eq+%22x%22", "", 400, "invalidFilter", "filter: password cannot be asked for"},
		{"GET", "/Users?filter=userName", "", 400, "invalidFilter", "filter: it ends where one of eq ne co sw ew gt ge lt le pr is expected"},
		{"GET", "/Users?startIndex=x", "", 400, "invalidValue", `startIndex is "x", not a number`},
		{"GET", "/Users?sortBy=userName&sortOrder=up", "", 400, "invalidValue", `sortOrder is "up", neither ascending nor descending`},
		{"GET", "/Schemas?filter=id+pr", "", 403, "", "/Schemas cannot be filtered"},
		{"GET", "/Me", "", 501, "", "/Me is not supported; see /ServiceProviderConfig"},
		{"PUT", "/Users", "{}", 405, "", "PUT is not possible here"},
		{"GET", "/Widgets", "", 404, "", "there is nothing at this address; /Users, /Groups, /Schemas, /ResourceTypes and /ServiceProviderConfig are"},
	} {
		a := x.do(tt.method, tt.path, tt.body)
		kind, _ := a.body["scimType"].(string)
		if a.status != tt.status || kind != tt.kind || a.body["detail"] != tt.detail || a.body["status"] != fmt.Sprint(tt.status) {
			t.Errorf("%s %s %.80s = %d %q %v\nwant %d %q %s", tt.method, tt.path, tt.body, a.status, kind, a.body["detail"], tt.status, tt.kind, tt.detail)
		}
	}
	if a := x.do("PUT", "/Users", "{}"); a.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow = %q", a.header.Get("Allow"))
	}
	if a := x.do("POST", "/Users", "{}", "Content-Type", "text/plain"); a.status != 415 {
		t.Errorf("text/plain: %d", a.status)
	}
	if a := x.do("POST", "/Users", `{"userName":"`+strings.Repeat("a", maxBody)+`"}`); a.status != 413 {
		t.Errorf("a large body: %d", a.status)
	}
}

func TestTokens(t *testing.T) {
	x := serve(t)
	good := x.token
	tokens, err := x.store.Tokens(t.Context())
	if err != nil || len(tokens) != 1 {
		t.Fatal(tokens, err)
	}
	bad := func(name, header string) {
		t.Helper()
		a := x.do("GET", "/Users", "", "Authorization", header)
		if a.status != 401 && a.status != 429 || a.status == 401 && (!strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") || a.body["detail"] != refusal().detail) {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
		if a.status == 429 && a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
	other, _, _, _ := NewToken()
	swapped := tokenPrefix + tokens[0].ID + other[len(tokenPrefix)+idLength:]
	swapped = swapped[:len(swapped)-checkSize] + check(swapped[:len(swapped)-checkSize])
	bad("none", "")
	bad("another scheme", "Basic "+good)
	bad("bare", good)
	bad("unknown", "Bearer "+other)
	bad("another secret", "Bearer "+swapped)
	bad("cut", "Bearer "+good[:len(good)-1])
	for range 40 {
		bad("guesses", "Bearer guess")
	}
	if a := x.do("GET", "/Users", "", "Authorization", "Bearer guess"); a.status != 429 {
		t.Errorf("after 40 guesses: %d", a.status)
	}
	x.must(200, "GET", "/Users", "") // never a valid token
	x.now = x.now.Add(2 * time.Minute)
	if a := x.do("GET", "/Users", "", "Authorization", "Bearer guess"); a.status != 401 {
		t.Errorf("two minutes later: %d", a.status)
	}

	x.token = x.newToken(ScopeRead)
	x.must(200, "GET", "/Users", "")
	x.must(200, "POST", "/Users/.search", `{}`)
	if a := x.must(403, "POST", "/Users", `{"userName":"x"}`); a.body["detail"] != "this token may only read (scim:read); writing needs one of the scope scim:write" {
		t.Errorf("%s", a.text)
	}
	if ended, err := x.store.RevokeTokens(t.Context(), "", tokens[0].ID); err != nil || len(ended) != 1 {
		t.Fatal(ended, err)
	}
	bad("revoked", "Bearer "+good)
}

func TestARotationHasNoGap(t *testing.T) {
	x := serve(t)
	text, id, hash, _ := NewToken()
	until := time.Now().Add(time.Hour)
	if err := x.store.RotateToken(t.Context(), store.Token{ID: id, Name: "t", Hash: hash, Created: x.now}, until); err != nil {
		t.Fatal(err)
	}
	x.must(200, "GET", "/Users", "")
	old := x.token
	x.token = text
	x.must(200, "GET", "/Users", "")
	x.now = until.Add(time.Second)
	x.must(201, "POST", "/Users", `{"userName":"x"}`) // with the scope of the one before
	x.token = old
	x.must(401, "GET", "/Users", "")
}

func TestConcurrentPatchesLoseNothing(t *testing.T) {
	x := serve(t)
	g := x.must(201, "POST", "/Groups", `{"displayName":"G"}`).body["id"].(string)
	u, _ := x.user(`{"userName":"u"}`)
	var ids []string
	for i := range 20 {
		id, _ := x.user(fmt.Sprintf(`{"userName":"m%d"}`, i))
		ids = append(ids, id)
	}
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			x.must(204, "PATCH", "/Groups/"+g, ops(`[{"op":"Add","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}]`))
		})
		wg.Go(func() {
			x.must(200, "PATCH", "/Users/"+u, ops(fmt.Sprintf(`[{"op":"add","path":"emails","value":[{"type":"work","value":"%d@example.com"}]}]`, i)))
		})
	}
	wg.Wait()
	if members, _ := x.must(200, "GET", "/Groups/"+g, "").body["members"].([]any); len(members) != len(ids) {
		t.Errorf("%d members, want %d", len(members), len(ids))
	}
	if mails, _ := x.must(200, "GET", "/Users/"+u, "").body["emails"].([]any); len(mails) != len(ids) {
		t.Errorf("%d addresses, want %d", len(mails), len(ids))
	}
}

func TestEntityTags(t *testing.T) {
	x := serve(t)
	id, a := x.user(`{"userName":"u"}`)
	tag := a.header.Get("ETag")
	x.must(304, "GET", "/Users/"+id, "", "If-None-Match", tag)
	x.must(412, "PATCH", "/Users/"+id, ops(`[{"op":"add","path":"title","value":"x"}]`), "If-Match", `W/"9"`)
	b := x.must(200, "PATCH", "/Users/"+id, ops(`[{"op":"add","path":"title","value":"x"}]`), "If-Match", tag)
	c := x.must(200, "PATCH", "/Users/"+id, ops(`[{"op":"add","path":"title","value":"x"}]`))
	if b.header.Get("ETag") == tag || c.header.Get("ETag") != b.header.Get("ETag") {
		t.Errorf("tags %s, %s, and after nothing %s", tag, b.header.Get("ETag"), c.header.Get("ETag"))
	}
	x.must(201, "POST", "/Groups", `{"displayName":"G","members":[{"value":"`+id+`"}]}`)
	x.must(200, "GET", "/Users/"+id, "", "If-None-Match", b.header.Get("ETag")) // its groups have changed
	x.must(412, "DELETE", "/Users/"+id, "", "If-Match", tag)
	x.must(204, "DELETE", "/Users/"+id, "", "If-Match", "*")
}

// RFC 7644, 3.5.2.2: what is removed "SHALL be considered unassigned". Taking the word away opens nothing.
func TestActiveTakenAwayOpensNothing(t *testing.T) {
	for _, gone := range []string{`[{"op":"remove","path":"active"}]`, `[{"op":"replace","value":{"active":null}}]`} {
		x := serve(t)
		for _, active := range []bool{true, false} {
			id, _ := x.user(fmt.Sprintf(`{"userName":"u%t","active":%t}`, active, active))
			x.must(200, "PATCH", "/Users/"+id, ops(gone))
			x.must(200, "PATCH", "/Users/"+id, ops(`[{"op":"add","path":"title","value":"T"}]`))
			if a := x.must(200, "GET", "/Users/"+id, ""); a.body["active"] != nil {
				t.Errorf("active is %v after %s", a.body["active"], gone)
			}
			u, err := x.store.ScimUser(t.Context(), id, false)
			if err != nil || u.Account.Active != active {
				t.Errorf("after %s the account's Active = %v, %v; want %v", gone, u.Account.Active, err, active)
			}
			if a := x.must(200, "PATCH", "/Users/"+id, ops(`[{"op":"replace","path":"active","value":true}]`)); a.body["active"] != true {
				t.Errorf("active is %v", a.body["active"])
			}
		}
	}
}

// Clients compare the members that they sent with those that they get: scim2-tester finds one more thing in them an error.
func TestAMembersNameIsShownOnRequest(t *testing.T) {
	x := serve(t)
	id, _ := x.user(`{"userName":"u","displayName":"Una"}`)
	g := x.must(201, "POST", "/Groups", `{"displayName":"G","members":[{"value":"`+id+`"}]}`).body["id"].(string)
	for query, want := range map[string]any{"": nil, "?attributes=members": nil, "?attributes=members.display": "Una", "?attributes=members,members.display": "Una"} {
		a := x.must(200, "GET", "/Groups/"+g+query, "")
		if got := a.body["members"].([]any)[0].(object)["display"]; got != want {
			t.Errorf("GET %s: display is %v, want %v", query, got, want)
		}
	}
}
