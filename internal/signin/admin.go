package signin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
)

const (
	perPage     = 50
	mostMembers = 500
	mostRecent  = 100
)

var errNoAdmin = errors.New("not an administrator")

// mayAdminister says whether a person sees the administrator's pages. Who cannot be told does not.
func (d *Door) mayAdminister(r *http.Request, v *visit) error {
	if len(d.cfg.AdminGroups) == 0 {
		return errNoAdmin
	}
	group, err := d.cfg.Accounts.InOneOf(r.Context(), v.account, d.cfg.AdminGroups)
	if err == nil && group == "" {
		err = errNoAdmin
	}
	return err
}

func (d *Door) administrator(h func(http.ResponseWriter, *http.Request, *visit)) func(http.ResponseWriter, *http.Request, *visit) {
	return func(w http.ResponseWriter, r *http.Request, v *visit) {
		if err := v.admin(); err != nil {
			d.record(r, "administration", err, "user", string(v.account.Name), "path", r.URL.Path)
			d.tell(w, r, problem{status: http.StatusForbidden, Title: "This page is for administrators",
				Text: "You are signed in as " + string(v.account.Name) + ", who is not in a group of administrators, as far as this server can tell.", Advice: askHelp})
			return
		}
		h(w, r, v)
	}
}

func (d *Door) tabs(here string) []tab {
	all := []tab{{Path: "/admin", Name: "Users"}, {Path: "/admin/groups", Name: "Groups"}}
	if d.cfg.Tokens != nil {
		all = append(all, tab{Path: "/admin/tokens", Name: "Provisioning tokens"})
	}
	if d.cfg.Recent != nil {
		all = append(all, tab{Path: "/admin/decisions", Name: "Recent decisions"})
	}
	for i := range all {
		all[i].Here = all[i].Path == here
	}
	return all
}

func (d *Door) adminError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, store.ErrNotFound) {
		d.notFound(w, r)
		return
	}
	d.note(r, "administration", err)
	d.refuse(w, r, err)
}

type userList struct {
	Users       []store.Account
	Search      string
	Next        string // the address of the next page; "" on the last
	First       bool
	FirstOfThem string
}

func (d *Door) users(w http.ResponseWriter, r *http.Request, v *visit) {
	q := r.URL.Query()
	search, after := q.Get("q"), q.Get("after")
	if len(search) > 100 || len(after) > 100 || !utf8.ValidString(search+after) {
		search, after = "", ""
	}
	all, err := d.cfg.Store.Search(r.Context(), search, account.Name(after), perPage+1)
	if err != nil {
		d.adminError(w, r, err)
		return
	}
	list := userList{Users: all, Search: search, First: after == ""}
	if len(all) > perPage {
		list.Users = all[:perPage]
		list.Next = "/admin?" + url.Values{"q": {search}, "after": {string(all[perPage-1].Name)}}.Encode()
	}
	d.show(w, r, http.StatusOK, "users", "Users", v, list)
}

type userPage struct {
	Account store.Account
	Entry   passwd.Entry
	Groups  []provision.Membership
	Self    bool
	Act     string
}

func (d *Door) one(r *http.Request, v *visit) (userPage, error) {
	a, err := d.cfg.Store.ByName(r.Context(), account.Name(r.PathValue("name")))
	if err != nil {
		return userPage{}, err
	}
	p := userPage{Account: a, Self: a.Name == v.account.Name, Act: r.PathValue("act")}
	if p.Entry, err = d.cfg.Accounts.LookUp(r.Context(), string(a.Name)); err != nil && !errors.Is(err, passwd.ErrNotFound) {
		return p, err
	}
	if p.Groups, err = d.cfg.Accounts.Memberships(r.Context(), a); errors.Is(err, passwd.ErrNotFound) {
		err = nil
	}
	return p, err
}

func (d *Door) user(w http.ResponseWriter, r *http.Request, v *visit) {
	p, err := d.one(r, v)
	if err != nil {
		d.adminError(w, r, err)
		return
	}
	d.show(w, r, http.StatusOK, "user", "User "+string(p.Account.Name), v, p)
}

// confirm asks before an account is locked or unlocked.
func (d *Door) confirm(w http.ResponseWriter, r *http.Request, v *visit) {
	p, err := d.one(r, v)
	switch {
	case err != nil:
		d.adminError(w, r, err)
	case p.Act != "lock" && p.Act != "unlock":
		d.notFound(w, r)
	default:
		d.show(w, r, http.StatusOK, "confirm", strings.ToUpper(p.Act[:1])+p.Act[1:]+" "+string(p.Account.Name), v, p)
	}
}

// change locks an account, or unlocks it. Nobody locks the account that they are signed in with: the last administrator would
// be out.
func (d *Door) change(w http.ResponseWriter, r *http.Request, v *visit) {
	p, err := d.one(r, v)
	if err == nil && p.Act != "lock" && p.Act != "unlock" {
		err = store.ErrNotFound
	}
	if err != nil {
		d.adminError(w, r, err)
		return
	}
	event := p.Act + "-user"
	who := []any{"user", string(p.Account.Name), "by", string(v.account.Name), "by_subject", v.account.Identity.Key()}
	if p.Self {
		d.record(r, event, errors.New("the administrator's own account"), who...)
		d.tell(w, r, problem{status: http.StatusForbidden, Title: "This is your own account", Text: "You cannot lock yourself out.", Advice: "Another administrator can."})
		return
	}
	if err = d.cfg.Store.SetActive(r.Context(), p.Account.Name, p.Act == "unlock"); err == nil {
		if shown := d.cfg.Publish(r.Context()); shown != nil {
			d.cfg.Log.Error("accounts are not shown to other programs yet", "error", shown.Error())
		}
	}
	d.record(r, event, err, who...)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	d.redirect(w, "/admin/users/"+url.PathEscape(string(p.Account.Name)))
}

func (d *Door) groups(w http.ResponseWriter, r *http.Request, v *visit) {
	all, err := d.cfg.Store.Groups(r.Context())
	if err != nil {
		d.adminError(w, r, err)
		return
	}
	d.show(w, r, http.StatusOK, "groups", "Groups", v, all)
}

type groupPage struct {
	store.Group
	Names []string
	More  int
}

func (d *Door) group(w http.ResponseWriter, r *http.Request, v *visit) {
	gid, err := strconv.ParseUint(r.PathValue("gid"), 10, 32)
	if err != nil {
		d.notFound(w, r)
		return
	}
	all, err := d.cfg.Store.Groups(r.Context())
	p := groupPage{}
	for _, g := range all {
		if g.GID == account.GID(gid) {
			p.Group = g
		}
	}
	if err == nil && p.GID == 0 {
		err = store.ErrNotFound
	}
	if err == nil {
		p.Names, err = d.cfg.Store.MembersOf(r.Context(), p.GID)
	}
	if err != nil {
		d.adminError(w, r, err)
		return
	}
	if len(p.Names) > mostMembers {
		p.Names, p.More = p.Names[:mostMembers], len(p.Names)-mostMembers
	}
	d.show(w, r, http.StatusOK, "group", "Group "+string(p.Name), v, p)
}

func (d *Door) tokens(w http.ResponseWriter, r *http.Request, v *visit) {
	all, err := d.cfg.Tokens(r.Context())
	if err != nil {
		d.adminError(w, r, err)
		return
	}
	d.show(w, r, http.StatusOK, "tokens", "Provisioning tokens", v, all)
}

func (d *Door) decisions(w http.ResponseWriter, r *http.Request, v *visit) {
	all, err := d.cfg.Recent(mostRecent)
	if err != nil {
		d.adminError(w, r, err)
		return
	}
	d.show(w, r, http.StatusOK, "decisions", "Recent decisions", v, all)
}

// Field is one of a decision's, as text.
func (d Decision) Field(name string) string {
	if value, there := d.Fields[name]; there {
		return fmt.Sprint(value)
	}
	return ""
}

// Accepted says how it was decided.
func (d Decision) Accepted() bool { return d.Fields["accepted"] == true }
