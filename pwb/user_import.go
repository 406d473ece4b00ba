package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/snapshot"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

const maxImport = 64 << 20

func importUsers(d *desk) error {
	name, err := d.one("FILE")
	if err != nil {
		return err
	}
	issuer, err := d.issuer()
	if err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := &intake{accounts: d.accounts, issuer: issuer, homes: d.config.HomePath, shell: d.config.Shell}
	text := bufio.NewReader(io.LimitReader(f, maxImport))
	read := in.readLines
	if first, err := text.Peek(1); err == nil && (first[0] == '{' || first[0] == '[') {
		read = in.readWorkbench
	}
	if err := read(text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if d.Bool("dry-run") {
		fmt.Fprintf(d.out, "%d accounts could be made\n", len(in.all))
		return nil
	}
	if err := d.store.Import(d.Context.Context, in.all); err != nil {
		return err
	}
	for _, one := range in.all {
		if err := d.changed("import-user", map[string]any{"user": one.Name, "uid": one.ID, "subject": one.Identity.Key()}); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "%d accounts made\n", len(in.all))
	return nil
}

// intake collects accounts that are to be made, and refuses ids and names that belong to others on this machine.
type intake struct {
	accounts             *provision.Provisioner
	issuer, homes, shell string

	all      []store.Imported
	seen     map[uint32]bool
	problems []error // all of them, to be named at once
}

func (in *intake) add(where string, one store.Imported, err error) {
	if err == nil && in.seen[one.ID] {
		err = fmt.Errorf("uid %d is there twice", one.ID)
	}
	if err != nil {
		in.problems = append(in.problems, fmt.Errorf("%s: %w", where, err))
		return
	}
	if in.seen == nil {
		in.seen = map[uint32]bool{}
	}
	in.seen[one.ID] = true
	in.all = append(in.all, one)
}

// readLines reads NAME,UID,SUBJECT and what may follow.
func (in *intake) readLines(r io.Reader) error {
	lines := csv.NewReader(r)
	lines.FieldsPerRecord, lines.Comment, lines.TrimLeadingSpace = -1, '#', true
	for {
		f, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return errors.Join(in.problems...)
		}
		if err != nil {
			return err
		}
		at, _ := lines.FieldPos(0)
		one, err := in.parse(f)
		in.add(fmt.Sprintf("line %d", at), one, err)
	}
}

func (in *intake) parse(f []string) (one store.Imported, err error) {
	if len(f) < 3 || len(f) > 6 {
		return one, fmt.Errorf("%d fields; NAME,UID,SUBJECT are needed, FULL NAME,HOME,SHELL may follow", len(f))
	}
	f = append(f, make([]string, 6-len(f))...)
	if one.Name, err = account.ParseName(f[0]); err != nil {
		return one, err
	}
	id, err := strconv.ParseUint(f[1], 10, 32)
	if free, ok := account.NextID(uint32(id), nil); err != nil || !ok || free != uint32(id) {
		return one, fmt.Errorf("uid %q is none that can be given", f[1])
	}
	one.Identity.Issuer = in.issuer
	if one.Identity.Subject, err = ticket.Subject(in.issuer, f[2]); err != nil {
		return one, err
	}
	one.New = store.New{ID: uint32(id), Gecos: account.Gecos(f[3]), Home: f[4], Shell: f[5]}
	if one.Home == "" {
		one.Home = path.Join(in.homes, string(one.Name))
	}
	if one.Shell == "" {
		one.Shell = in.shell
	}
	if !path.IsAbs(one.Home) || !path.IsAbs(one.Shell) {
		return one, fmt.Errorf("home %q and shell %q must be absolute paths", one.Home, one.Shell)
	}
	if err := account.CheckHome(one.Home, in.homes); err != nil {
		return one, err
	}
	u := snapshot.User{Name: string(one.Name), UID: one.ID, GID: one.ID, Gecos: one.Gecos, Home: one.Home, Shell: one.Shell}
	if err := u.Check(); err != nil {
		return one, err
	}
	return one, in.free(one.Name, one.ID)
}

// free refuses what the machine has given to others. What the store has given, the store knows.
func (in *intake) free(name account.Name, id uint32) error {
	if holder, err := in.accounts.NameOnMachine(name); err != nil {
		return err
	} else if holder != "" {
		return fmt.Errorf("%q is %s; remove it from there, or use pwb users link", name, holder)
	}
	holder, err := in.accounts.IDOnMachine(id)
	if err == nil && holder != "" {
		err = fmt.Errorf("%d is %s", id, holder)
	}
	return err
}

// workbenchURN is where Posit Workbench keeps the Linux side of a user, in what its /scim/v2/Users answers.
const workbenchURN = "urn:rstudio:params:scim:schemas:extension:workbench:1.0:User"

// workbenchUser is what of a user of Workbench's an account here is made of.
type workbenchUser struct {
	UserName    string `json:"userName"`
	ExternalID  string `json:"externalId"`
	DisplayName string `json:"displayName"`
	Name        struct {
		Formatted string `json:"formatted"`
	} `json:"name"`
	Active    *bool `json:"active"`
	Workbench *struct {
		UserID        json.Number `json:"posixUserId"`
		UserName      string      `json:"posixUserName"`
		HomeDirectory string      `json:"homeDirectory"`
		Shell         string      `json:"shell"`
	} `json:"urn:rstudio:params:scim:schemas:extension:workbench:1.0:User"`
}

// fields are the user's as a line of the other form has them.
func (u workbenchUser) fields() ([]string, error) {
	switch {
	case u.Workbench == nil:
		return nil, fmt.Errorf("it has no %s", workbenchURN)
	case u.ExternalID == "":
		return nil, errors.New("it has no externalId, which says whose it is; map objectId to it, and let the provider send it once")
	}
	full := u.DisplayName
	if full == "" {
		full = u.Name.Formatted
	}
	w := u.Workbench
	return []string{w.UserName, w.UserID.String(), u.ExternalID, full, w.HomeDirectory, w.Shell}, nil
}

// readWorkbench reads what Workbench's /scim/v2/Users answers: a page, a list of users, or several of them one after the other. Who
// is not active there is not here.
func (in *intake) readWorkbench(r io.Reader) error {
	d := json.NewDecoder(r)
	for n := 0; ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return errors.Join(in.problems...)
		} else if err != nil {
			return err
		}
		users, err := workbenchUsers(raw)
		if err != nil {
			return err
		}
		for _, u := range users {
			n++
			one, err := in.parseWorkbench(u)
			in.add(fmt.Sprintf("user %d, %q", n, u.UserName), one, err)
		}
	}
}

func workbenchUsers(raw json.RawMessage) (users []workbenchUser, err error) {
	if bytes.HasPrefix(raw, []byte("[")) {
		err = json.Unmarshal(raw, &users)
		return users, err
	}
	var page struct {
		Resources *[]workbenchUser `json:"Resources"`
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		return nil, err
	}
	if page.Resources != nil {
		return *page.Resources, nil
	}
	users = make([]workbenchUser, 1)
	err = json.Unmarshal(raw, &users[0])
	return users, err
}

func (in *intake) parseWorkbench(u workbenchUser) (one store.Imported, err error) {
	f, err := u.fields()
	if err != nil {
		return one, err
	}
	one, err = in.parse(f)
	one.Locked = u.Active != nil && !*u.Active
	return one, err
}
