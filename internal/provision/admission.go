package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/store"
)

// Admission says whom of its accounts the machine lets in. A group is named by the name that the machine knows it by, or by the
// provider's object. The zero value lets in all.
type Admission struct {
	RequiredGroups []string // one of them is needed
	AllowUsers     []string // nobody else
	DenyUsers      []string
	DenyGroups     []string
}

// Step is one rule that was asked about an account, as an operator reads it.
type Step struct {
	Rule string
	Says string
	Err  error // why the rule refuses; nil when it lets the account pass
}

// Admit holds an account of ours to the rules. The error is ErrNotAllowed, ErrNameTaken (the machine has given its name or uid to
// another since), ErrForeign, or store.ErrUnavailable: who cannot be told does not get in.
func (p *Provisioner) Admit(ctx context.Context, a store.Account) error {
	if a.UID != 0 { // a machine that cannot tell now has told when the id was given
		if err := p.stillOurs(a); errors.Is(err, ErrNameTaken) || errors.Is(err, ErrForeign) {
			return err
		}
	}
	for _, step := range p.Explain(ctx, a) {
		if step.Err != nil {
			return step.Err
		}
	}
	return nil
}

// Explain asks every rule about an account, in the order in which they decide; the first that refuses decides.
func (p *Provisioner) Explain(ctx context.Context, a store.Account) []Step {
	rules := p.Admission
	m := &memberships{machine: p.Machine}
	if len(rules.DenyGroups)+len(rules.RequiredGroups) > 0 {
		m = p.memberships(ctx, a)
	}
	steps := []Step{rules.users(a.Name), rules.denied(m), rules.required(m)}
	for i := range steps {
		if err := steps[i].Err; err != nil {
			steps[i].Says = err.Error()
			steps[i].Err = fmt.Errorf("account %q: %s: %w", a.Name, steps[i].Rule, err)
		}
	}
	return steps
}

func refuse(rule, format string, args ...any) Step {
	return Step{Rule: rule, Err: fmt.Errorf(format+": %w", append(args, ErrNotAllowed)...)}
}

func (rules Admission) users(name account.Name) Step {
	switch {
	case slices.Contains(rules.DenyUsers, string(name)):
		return refuse("deny-users", "%s is listed", name)
	case len(rules.AllowUsers) > 0 && !slices.Contains(rules.AllowUsers, string(name)):
		return refuse("allow-users", "%s is not listed", name)
	}
	return Step{Rule: "allow-users, deny-users", Says: "no objection"}
}

func (rules Admission) denied(m *memberships) Step {
	const rule = "deny-groups"
	group, err := m.first(rules.DenyGroups, true)
	switch {
	case len(rules.DenyGroups) == 0:
		return Step{Rule: rule, Says: "not set"}
	case err != nil:
		return Step{Rule: rule, Err: err}
	case group != "":
		return refuse(rule, "is in %s", group)
	}
	return Step{Rule: rule, Says: "is in none of " + strings.Join(rules.DenyGroups, ", ")}
}

func (rules Admission) required(m *memberships) Step {
	const rule = "auth-required-user-group"
	group, err := m.first(rules.RequiredGroups, false)
	switch {
	case len(rules.RequiredGroups) == 0:
		return Step{Rule: rule, Says: "not set"}
	case err != nil:
		return Step{Rule: rule, Err: err}
	case group == "":
		return refuse(rule, "is in none of %s", strings.Join(rules.RequiredGroups, ", "))
	}
	return Step{Rule: rule, Says: "is in " + group}
}

// memberships are the groups of an account, by every name they go by.
type memberships struct {
	names   []string      // of the provider's
	local   []account.GID // of the machine's
	machine Machine
	err     error // why the machine's cannot be told
	unknown error // why the provider may have more than these
}

var (
	errOverage = errors.New("the provider has left the groups out of the last ticket (overage); assign fewer groups to the application")
	errUntold  = errors.New("no ticket has said yet which groups of the provider it is in")
	errLinked  = errors.New("it is an account of the machine, and which groups of the provider it is in is not kept; name a group of the machine")
)

// memberships asks the machine and, about accounts of our making, the store. What the provider has left out of the last ticket
// is not known: the memberships that were kept name the groups of files, but open no door.
func (p *Provisioner) memberships(ctx context.Context, a store.Account) *memberships {
	m := &memberships{machine: p.Machine}
	m.local, m.err = p.local(a)
	switch {
	case m.err != nil:
	case a.UID == 0:
		m.unknown = fmt.Errorf("%w: %w", errLinked, ErrNotAllowed)
	case a.Groups == store.Untold:
		m.unknown = fmt.Errorf("%w: %w", errUntold, ErrNotAllowed)
	case a.Groups == store.Stale:
		m.unknown = fmt.Errorf("%w: %w", errOverage, ErrNotAllowed)
	default:
		var groups []store.Group
		groups, m.err = p.Store.GroupsOf(ctx, a.Name)
		for _, g := range groups {
			m.names = append(m.names, string(g.Name), g.Object)
		}
	}
	return m
}

func (p *Provisioner) local(a store.Account) ([]account.GID, error) {
	gid := a.GID()
	if a.UID == 0 {
		entry, err := p.Machine.ByName(string(a.Name))
		if err != nil {
			return nil, fmt.Errorf("account %q cannot be found: %w: %w", a.Name, store.ErrUnavailable, err)
		}
		gid = entry.GID
	}
	local, err := p.Machine.Groups(string(a.Name), gid)
	if err != nil {
		return nil, fmt.Errorf("the groups of %q cannot be told: %w: %w", a.Name, store.ErrUnavailable, err)
	}
	return local, nil
}

// first returns the first group of a list that the account is in, or "". An error is neither yes nor no.
//
// A name that the machine has a group of means that group: who is in one of the same name at the provider, where others may make
// groups, is not in it (CVE-2025-49012). With either, a group of that name at the provider counts too.
func (m *memberships) first(list []string, either bool) (string, error) {
	if m.err != nil && len(list) > 0 {
		return "", m.err
	}
	var unknown error
	for _, name := range list {
		gid, err := m.machine.GroupByName(name)
		known := err == nil
		switch {
		case !known && !errors.Is(err, passwd.ErrNotFound):
			return "", fmt.Errorf("group %q cannot be told: %w: %w", name, store.ErrUnavailable, err)
		case known && slices.Contains(m.local, gid), (!known || either) && slices.Contains(m.names, name):
			return name, nil
		case !known:
			unknown = m.unknown
		}
	}
	return "", unknown
}
