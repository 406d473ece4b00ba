package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/session"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

// statusCannotTell is the exit status of pwb ticket inspect when what decides could not be asked.
const statusCannotTell = 3

// inspection is everything that is known of a ticket, and what this machine would make of it.
type inspection struct {
	ticket.Contents
	Bytes   int
	Answers []answerOf

	verified bool // else the ticket's own words are all there is
	unsure   bool // an answer is missing: it may be refused for that
}

func (in *inspection) say(rule, format string, args ...any) {
	in.Answers = append(in.Answers, answerOf{Rule: rule, Says: fmt.Sprintf(format, args...)})
}

func (in *inspection) refuse(rule string, err error) {
	in.Answers = append(in.Answers, answerOf{rule, strings.ReplaceAll(err.Error(), "\n", "; "), true})
}

func (in *inspection) cannotTell(rule string, err error) {
	in.unsure = true
	in.say(rule, "cannot be told: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
}

func inspectTicket(d *desk) error {
	return d.inspect(func(in *inspection, raw []byte) {
		switch in.Kind {
		case ticket.KindCode:
			d.inspectCode(in, raw)
		case ticket.KindSession:
			d.inspectSession(in, raw)
		default:
			d.inspectToken(in, raw)
		}
	})
}

// inspect reads a ticket, has it judged, and reports.
func (d *desk) inspect(judge func(in *inspection, raw []byte)) error {
	if d.NArg() > 1 {
		return cli.Exit("ticket inspect: one FILE; a ticket itself is never an argument, where others can see it", 2)
	}
	raw, err := readInspected(d.Context.Context, d.Args().First())
	if err != nil {
		return cli.Exit(fmt.Errorf("read the ticket: %w", err), 2)
	}
	defer clear(raw)
	in := &inspection{Contents: ticket.Inspect(raw), Bytes: len(raw)}
	judge(in, raw)
	return d.report(in)
}

// readInspected reads a ticket from a file, from standard input when that is no terminal, or asks for it.
func readInspected(ctx context.Context, name string) ([]byte, error) {
	if name != "" && name != "-" {
		return readTicket(name, -1)
	}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil {
		return session.ReadLine(os.Stdin)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	line, err := session.Ask(ctx, "Ticket: ", false)
	return []byte(line), err
}

// inspectCode looks a code up. One that is good stays good.
func (d *desk) inspectCode(in *inspection, raw []byte) {
	hash, err := ticket.ParseCode(raw)
	if err != nil {
		in.refuse("form", err)
		return
	}
	in.say("form", "a code; its checksum is right")
	c, err := d.store.FindCode(d.Context.Context, hash)
	switch {
	case errors.Is(err, store.ErrNoCode):
		in.refuse("given out", errors.New("not by this store, or over a day ago"))
		return
	case err != nil:
		in.cannotTell("given out", err)
		return
	}
	in.say("given out", "to %q by %q, at %s", c.Account, c.IssuedBy, when(c.Issued))
	if c.Challenge != "" {
		in.refuse("kind", errors.New("a grant of pwb login, which is exchanged for a code and is none"))
	}
	if err := c.Usable(time.Now()); err != nil {
		in.refuse("spent, expired", err)
	} else {
		in.say("spent, expired", "neither; until %s", when(c.Expires))
	}
	if c.Service != "" {
		in.say("PAM service", "%q alone", c.Service)
	}
	switch here := hosts(d.config); {
	case c.Host == "":
	case slices.ContainsFunc(here, func(h string) bool { return strings.EqualFold(h, c.Host) }):
		in.say("host", "%q, this one", c.Host)
	default:
		in.refuse("host", fmt.Errorf("%q alone; this one is %s", c.Host, strings.Join(here, ", ")))
	}
	in.Answers = append(in.Answers, d.answers(string(c.Account), "")...)
}

func (d *desk) inspectSession(in *inspection, raw []byte) {
	if d.config == nil || d.trouble != nil {
		in.cannotTell("configuration", d.trouble)
		return
	}
	ctx := d.Context.Context
	v, err := sessionVerifier(d.config, func() (ticket.SessionKeys, error) { return d.accounts.SessionKeys(ctx) })
	if err != nil {
		in.cannotTell("keys", err)
		return
	}
	verified, err := v.Verify(raw)
	if err != nil {
		in.refuse(ruleOf(err), err)
		return
	}
	in.verified = true
	in.say("verification", "form, audience, times and signature are good; key %q, for %q, until %s", verified.KeyID, verified.Audience, when(verified.Expires))
	d.inspectSpent(in, verified.SpendKey)
	a, err := d.store.ByName(ctx, verified.Name)
	switch {
	case errors.Is(err, store.ErrNotFound) && d.config.Web.TicketKeys != "":
		if err := d.accounts.MayBind(verified.Name); err != nil {
			in.refuse("account", err)
		} else {
			in.say("account", "%q is the machine's own, and nobody's yet: this ticket binds it", verified.Name)
		}
	case err == nil && provision.WhoIs(a.Identity) != verified.Who:
		in.refuse("binding", fmt.Errorf("%q is bound to %s here, and the ticket is for another identity", a.Name, a.Identity.Key()))
	default:
		in.Answers = append(in.Answers, d.answers(string(verified.Name), "")...)
	}
}

func (d *desk) inspectToken(in *inspection, raw []byte) {
	if d.config == nil || d.trouble != nil {
		in.cannotTell("configuration", d.trouble)
		return
	}
	if !d.config.OpenID {
		in.refuse("kind", errors.New("this machine takes session tickets and codes alone (auth-openid is off)"))
		return
	}
	ctx, cancel := context.WithTimeout(d.Context.Context, 15*time.Second)
	defer cancel()
	v, err := openVerifier(d.root, d.config, func(error) {})
	if err != nil {
		in.cannotTell("configuration", err)
		return
	}
	verified, err := v.Verify(ctx, raw, ticket.Expect{})
	switch {
	case errors.Is(err, ticket.ErrUnreachable):
		in.cannotTell("signature", err)
		return
	case err != nil:
		in.refuse(ruleOf(err), err)
		return
	}
	in.verified = true
	in.say("verification", "form, claims, times and signature are good, until %s", when(verified.Expires))
	d.inspectSpent(in, verified.SpendKey)
	a, err := d.store.BySubject(ctx, verified.Identity)
	switch {
	case err == nil:
		in.Answers = append(in.Answers, d.answers(string(a.Name), "")...)
	case !errors.Is(err, store.ErrNotFound):
		in.cannotTell("account", err)
	default:
		p := d.accounts.Preview(ctx, []string{verified.Identity.Username})[0]
		if p.Err != nil {
			in.refuse("login name", p.Err)
		} else {
			in.say("account", "%s is nobody's yet here; this ticket would open %q", verified.Identity.Key(), p.Name)
			in.Answers = append(in.Answers, d.answers(string(p.Name), "")...)
		}
	}
}

func (d *desk) inspectSpent(in *inspection, key [32]byte) {
	switch spent, err := d.store.Spent(d.Context.Context, key); {
	case err != nil:
		in.cannotTell("spent", err)
	case spent && !d.config.InsecureReuseTickets:
		in.refuse("spent", store.ErrSpent)
	default:
		in.say("spent", "not yet, and not by this look")
	}
}

// ruleOf names the rule that a verifier's error is about.
func ruleOf(err error) string {
	for _, r := range []struct {
		err  error
		rule string
	}{
		{ticket.ErrTruncated, "length"}, {ticket.ErrMalformed, "form"}, {ticket.ErrAlgorithm, "algorithm"}, {ticket.ErrSignature, "signature"},
		{ticket.ErrIssuer, "issuer"}, {ticket.ErrAudience, "audience"}, {ticket.ErrExpired, "expired"}, {ticket.ErrNotYet, "times"},
		{ticket.ErrNonce, "nonce"}, {ticket.ErrUsername, "username claim"}, {account.ErrName, "login name"}, {ticket.ErrClaims, "claims"},
	} {
		if errors.Is(err, r.err) {
			return r.rule
		}
	}
	return "ticket"
}

// report prints an inspection and returns its exit status.
func (d *desk) report(in *inspection) error {
	decides := ""
	for _, a := range in.Answers {
		if a.Refuses {
			decides = a.Rule
			break
		}
	}
	var err error
	if d.Bool("json") {
		err = d.reportJSON(in, decides)
	} else {
		err = d.reportText(in, decides)
	}
	switch {
	case err != nil:
		return err
	case decides != "":
		return cli.Exit("", 1)
	case in.unsure:
		return cli.Exit("", statusCannotTell)
	}
	return nil
}

func (d *desk) reportJSON(in *inspection, decides string) error {
	members := func(all []ticket.Said) map[string]string {
		out := map[string]string{}
		for _, s := range all {
			out[s.Name] = s.Value
		}
		return out
	}
	taken := any(decides == "")
	if decides == "" && in.unsure {
		taken = nil
	}
	unread := ""
	if in.Err != nil {
		unread = in.Err.Error()
	}
	return d.json(map[string]any{
		"kind": in.Kind.String(), "bytes": in.Bytes, "header": members(in.Header), "claims": members(in.Claims), "unread": unread,
		"verified": in.verified, "answers": in.Answers, "taken": taken, "decided_by": decides,
	})
}

func (d *desk) reportText(in *inspection, decides string) error {
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "kind\t%s\t%d bytes\n", in.Kind, in.Bytes)
	for _, s := range append(slices.Clone(in.Header), in.Claims...) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, s.Means)
	}
	if in.Err != nil {
		fmt.Fprintf(w, "unread\t%s\t\n", strings.ReplaceAll(in.Err.Error(), "\n", "; "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(in.Claims) > 0 && !in.verified {
		fmt.Fprintln(d.out, "NOT VERIFIED: this is what the ticket says of itself, and anybody can write that")
	}
	fmt.Fprintln(d.out)
	d.printAnswers(in.Answers, decides)
	switch {
	case decides != "":
		fmt.Fprintf(d.out, "would not be taken; refused by: %s\n", decides)
	case in.unsure:
		fmt.Fprintln(d.out, "cannot be told whether it would be taken")
	default:
		fmt.Fprintln(d.out, "would be taken here; it is not spent")
	}
	return nil
}
