package main

import (
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
)

func root0(r *tree) config.Root { return config.Root(r.dir) }

// registering is a tree whose first logins make accounts, with some that were imported.
func registering(t *testing.T) *tree {
	t.Helper()
	r := newTree(t)
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+entra+"\nuser-provisioning-enabled=1\nuser-provisioning-register-on-first-login=1\n", 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id=a\nclient-secret=b\n", 0o600)
	return r
}

const (
	oidA = "11111111-aaaa-4bbb-8ccc-000000000001"
	oidB = "11111111-aaaa-4bbb-8ccc-000000000002"
)

func TestImportedAccounts(t *testing.T) {
	r := registering(t)
	r.write("/people.csv", "# from the old machine\ncarol,70001,"+oidA+",Carol Example,/data/carol,/bin/sh\ndave,70002,"+strings.ToUpper(oidB)+"\n", 0o600)
	file := r.dir + "/people.csv"
	if out, errs, status := r.pwb("", "users", "import", "--dry-run", file); out != "2 accounts could be made\n" || status != 0 {
		t.Errorf("dry run: %q %q %d", out, errs, status)
	}
	if out, errs, status := r.pwb("", "users", "import", file); out != "2 accounts made\n" || status != 0 {
		t.Fatalf("import: %q %q %d", out, errs, status)
	}
	if out, _, _ := r.pwb("", "users", "show", "carol"); !strings.Contains(out, "70001") || !strings.Contains(out, "/data/carol") || !strings.Contains(out, oidA) {
		t.Errorf("show: %s", out)
	}
	if out, _, _ := r.pwb("", "snapshot", "check"); !strings.Contains(out, "whole; 2 users, 2 groups") {
		t.Errorf("snapshot: %s", out)
	}
	if _, errs, status := r.pwb("", "users", "import", file); status != 1 || !strings.Contains(errs, "is bound to") {
		t.Errorf("again: %q %d", errs, status)
	}
	r.write("/bad.csv", "root,70003,"+oidA+"\nerin,12,"+oidA+"\nerin,70003,nobody\nerin,65534,"+oidA+"\ndaemon2,70003\n", 0o600)
	_, errs, status := r.pwb("", "users", "import", r.dir+"/bad.csv")
	for _, want := range []string{
		`line 1: login name "root" is reserved`, `line 2: uid "12" is none that can be given`, `line 3: "nobody" is not a person's Object ID`,
		`line 4: uid "65534" is none that can be given`, "line 5: 2 fields; NAME,UID,SUBJECT are needed",
	} {
		if status != 1 || !strings.Contains(errs, want) {
			t.Errorf("import of what is wrong: %d, %q does not say %q", status, errs, want)
		}
	}
}

func TestAnAccountsLife(t *testing.T) {
	r := registering(t)
	r.write("/people.csv", "carol,70001,"+oidA+"\n", 0o600)
	r.pwb("", "users", "import", r.dir+"/people.csv")
	for _, step := range []struct {
		args   string
		want   string
		status int
	}{
		{"list-users", "carol  70001  active", 0},
		{"users lock carol", "", 0},
		{"users list", "carol  70001  locked", 0},
		{"explain-login carol", "-> state", 1},
		{"users unlock carol", "", 0},
		{"explain-login carol", "let in, with a good ticket of this person's", 0},
		{"users delete carol", "its home /home/carol and uid 70001 stay its own", 0},
		{"users list", "carol  70001  deleted", 0},
		{"snapshot check", "whole; 0 users, 0 groups", 0},
		{"users restore carol", "", 0},
		{"snapshot check", "whole; 1 users, 1 groups", 0},
		{"users show nobody-here", "no such account", 1},
		{"users lock nobody-here", "no such account", 1},
		{"explain-login nobody-here", "the first good ticket whose username gives nobody-here makes it", 0},
		{"explain-login daemon", "never opened with a ticket", 1},
		{"users link daemon " + oidB, "reserved", 1},
		{"users link carol " + oidB, "", 1},
		{"users", "users", 0},
		{"groups", "NAME", 0},
		{"groups rename nobody x", `no group "nobody"`, 1},
		{"audit verify", "lines, whole", 0},
	} {
		out, errs, status := r.pwb("", strings.Fields(step.args)...)
		if status != step.status || !strings.Contains(out+errs, step.want) {
			t.Errorf("pwb %s: %d, want %d; without %q:\n%s%s", step.args, status, step.status, step.want, out, errs)
		}
	}
}

// What the account phase holds accounts to is what is explained: the lowest uid was moved above somebody who is there.
func TestExplainTheLowestUID(t *testing.T) {
	r := registering(t)
	r.write("/people.csv", "carol,70001,"+oidA+"\n", 0o600)
	r.pwb("", "users", "import", r.dir+"/people.csv")
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+entra+"\nauth-minimum-user-id=80000\n", 0o644)
	if out, errs, status := r.pwb("", "explain-login", "carol"); status != 1 || !strings.Contains(out, "-> auth-minimum-user-id") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
}

func TestPreview(t *testing.T) {
	r := registering(t)
	r.write("/people.csv", "carol,70001,"+oidA+"\n", 0o600)
	r.pwb("", "users", "import", r.dir+"/people.csv")
	out, _, status := r.pwb("jörg@example.com\nJORG@other.example\ncarol@example.com\nroot@example.com\n", "users", "preview")
	for _, want := range []string{
		`"jörg@example.com"    jorg`, `"JORG@other.example"  refused: `, `"carol@example.com"   refused: `, `"root@example.com"    refused: login name "root" is reserved`,
	} {
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("preview: %d, no %q in\n%s", status, want, out)
		}
	}
	r.write("/etc/rstudio/pwb.conf", "username-collision=suffix\n", 0o644)
	if out, _, status := r.pwb("", "users", "preview", "carol@example.com", "carol@other.example"); status != 0 || !strings.Contains(out, "carol-2") || !strings.Contains(out, "carol-3") {
		t.Errorf("with suffixes: %d\n%s", status, out)
	}
}

// Workbench's own extension is read here, and nowhere else.
func TestImportFromWorkbench(t *testing.T) {
	user := func(name, uid, oid, more string) string {
		return `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"1","userName":"` + name + `@example.com","externalId":"` + oid + `","displayName":"` + name + `"` + more +
			`,"urn:rstudio:params:scim:schemas:extension:workbench:1.0:User":{"admin":true,"posixUserId":` + uid + `,"posixUserName":"` + name + `","homeDirectory":"/home/` + name + `","shell":"/bin/sh"}}`
	}
	for _, tt := range []struct{ text, want, list string }{
		{`{"totalResults":2,"Resources":[` + user("carol", "70001", oidA, "") + `]} {"Resources":[` + user("dave", `"70002"`, oidB, `,"active":false`) + `]}`, "2 accounts made", "carol 70001 active dave 70002 locked"},
		{`[` + user("carol", "70001", oidA, "") + `]`, "1 accounts made", "carol 70001 active"},
		{user("carol", "0", oidA, ""), `user 1, "carol@example.com": uid "0" is none that can be given`, ""},
		{user("root", "70001", oidA, ""), `login name "root" is reserved`, ""},
		{user("carol", "70001", "", ""), "it has no externalId", ""},
		{`[` + user("carol", "70001", oidA, "") + `,` + user("dave", "70001", oidB, "") + `]`, "uid 70001 is there twice", ""},
		{`{"userName":"carol"}`, "it has no urn:rstudio:", ""},
		{`{"Resources":[`, "unexpected EOF", ""},
	} {
		r := registering(t)
		r.write("/users.json", tt.text, 0o600)
		out, errs, _ := r.pwb("", "users", "import", r.dir+"/users.json")
		if !strings.Contains(out+errs, tt.want) {
			t.Errorf("import %s: without %q: %s%s", tt.text, tt.want, out, errs)
		}
		list, _, _ := r.pwb("", "list-users")
		var got []string
		for i, line := range strings.Split(strings.TrimSpace(list), "\n") {
			if f := strings.Fields(line); i > 0 {
				got = append(got, f[:3]...)
			}
		}
		if strings.Join(got, " ") != tt.list {
			t.Errorf("after import %s: %q, want %q", tt.text, got, tt.list)
		}
	}
}

// oneGroup is a machine that has one group and nobody else.
type oneGroup struct{}

func (oneGroup) ByName(string) (passwd.Entry, error)     { return passwd.Entry{}, passwd.ErrNotFound }
func (oneGroup) ByUID(account.UID) (passwd.Entry, error) { return passwd.Entry{}, passwd.ErrNotFound }
func (oneGroup) GroupByID(account.GID) (string, error)   { return "", passwd.ErrNotFound }
func (oneGroup) GroupByName(name string) (account.GID, error) {
	if name != "devs" {
		return 0, passwd.ErrNotFound
	}
	return 70009, nil
}
func (oneGroup) Groups(string, account.GID) ([]account.GID, error) { return nil, nil }

// An account brings a private group of its name, which must not meet one of the machine's.
func TestAnImportTakesNoGroupsName(t *testing.T) {
	in := &intake{accounts: &provision.Provisioner{Machine: oneGroup{}}, issuer: entra, homes: "/home", shell: "/bin/sh"}
	err := in.readLines(strings.NewReader("devs,70001," + oidA + "\ncarol,70002," + oidB + "\n"))
	if want := `line 1: "devs" is a group of the machine (gid 70009); remove it from there, or use pwb users link`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if len(in.all) != 1 || in.all[0].Name != "carol" {
		t.Errorf("%+v", in.all)
	}
}

func FuzzImport(f *testing.F) {
	for _, text := range []string{`{"Resources":[{"userName":"c","externalId":"` + oidA + `","` + workbenchURN + `":{"posixUserId":70001,"posixUserName":"c"}}]}`, `[]`, `{}`, "null"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := &intake{accounts: &provision.Provisioner{Machine: oneGroup{}}, issuer: entra, homes: "/home", shell: "/bin/sh"}
		err := in.readWorkbench(strings.NewReader(text))
		for _, one := range in.all {
			if err == nil && (one.ID < 1000 || one.Name == "" || one.Identity.Subject == "") {
				t.Errorf("%q made %+v", text, one)
			}
		}
	})
}
