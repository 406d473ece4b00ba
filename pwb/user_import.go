package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/pwb-project/pwb/internal/store"
)

// workbenchURN is where Posit Workbench keeps the Linux side of a user, in what its /scim/v2/Users answers.
const workbenchURN = "urn:rstudio:params:scim:schemas:extension:workbench:1.0:User"

const maxImport = 64 << 20

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
func readWorkbench(r io.Reader, issuer, homes, shell string) (all []store.Imported, err error) {
	var problems []error
	seen := map[uint32]bool{}
	d := json.NewDecoder(r)
	for n := 0; ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return all, errors.Join(problems...)
		} else if err != nil {
			return nil, err
		}
		users, err := workbenchUsers(raw)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			n++
			one, err := parseWorkbench(u, issuer, homes, shell)
			if err == nil && seen[one.ID] {
				err = fmt.Errorf("uid %d is there twice", one.ID)
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("user %d, %q: %w", n, u.UserName, err))
				continue
			}
			seen[one.ID] = true
			all = append(all, one)
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

func parseWorkbench(u workbenchUser, issuer, homes, shell string) (one store.Imported, err error) {
	f, err := u.fields()
	if err != nil {
		return one, err
	}
	one, err = parseImport(f, issuer, homes, shell)
	one.Locked = u.Active != nil && !*u.Active
	return one, err
}
