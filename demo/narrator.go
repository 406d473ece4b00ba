package main

import (
	"fmt"
	"strings"
)

// narrator prints the story and checks it as it goes.
type narrator struct {
	m      *machine
	number int
	checks int
}

func (n *narrator) chapter(title, text string) {
	n.number++
	fmt.Printf("\n%d. %s\n   %s\n", n.number, title, text)
}

func (n *narrator) note(text string) { fmt.Printf("\n   %s\n", text) }

func (n *narrator) file(name, text string) {
	fmt.Printf("\n   %s\n", name)
	indent("     | ", text)
}

// command shows a command and what it printed, and refuses to go on when its status or its words are not as they should
// be. Tickets and secrets go in by standard input, never by argument.
func (n *narrator) command(input string, status int, words string, argv ...string) (string, error) {
	fmt.Printf("\n   $ %s\n", quote(argv))
	r := n.m.run(input, argv...)
	indent("     ", r.output)
	n.checks++
	if r.status != status {
		return r.output, fmt.Errorf("%s: status %d, should be %d; the worker's log:\n%s", argv[0], r.status, status, n.m.logged(0))
	}
	if !strings.Contains(r.output, words) {
		return r.output, fmt.Errorf("%s: did not say %q", argv[0], words)
	}
	return r.output, nil
}

// refusal shows one refused login: what the person sees must hold words, and what the log says must hold reason.
func (n *narrator) refusal(title, ticket, words, reason, user string) error {
	n.note(title + ":")
	before := len(n.m.logged(0))
	if _, err := n.command(ticket+"\n", 1, words, pamtester(user, "authenticate")...); err != nil {
		return err
	}
	said := n.m.logged(before)
	fmt.Println("     the log:")
	indent("     | ", said)
	n.checks++
	if !strings.Contains(said, reason) {
		return fmt.Errorf("%s: the log does not say %q", title, reason)
	}
	if strings.Contains(said, ticket) {
		return fmt.Errorf("%s: the log holds the ticket", title)
	}
	return nil
}

func indent(prefix, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		fmt.Printf("%s%s\n", prefix, line)
	}
}

// quote writes a command as a shell would take it.
func quote(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = a
		if strings.ContainsAny(a, " ;'\"$") {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
