package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/msteinert/pam/v2"
	"golang.org/x/sys/unix"
)

// conversation answers what modules ask: the first hidden question with the ticket, if there is one, the others at the
// terminal. A question that nobody can be asked is an error, never an empty answer.
type conversation struct {
	ctx  context.Context
	plan *Plan
	err  error // why a question went without an answer; libpam only passes on that one did
}

// RespondPAM is called by libpam, on the thread that runs the transaction.
func (c *conversation) RespondPAM(style pam.Style, text string) (string, error) {
	switch style {
	case pam.TextInfo, pam.ErrorMsg:
		fmt.Fprintln(c.plan.Stderr, strings.TrimRight(printable(text), "\n"))
		return "", nil
	case pam.PromptEchoOff:
		if c.plan.Ticket != nil {
			answer := string(c.plan.Ticket)
			c.forget()
			return answer, nil
		}
		return c.ask(text, false)
	case pam.PromptEchoOn:
		return c.ask(text, true)
	}
	return "", fmt.Errorf("a question in style %d", style)
}

func (c *conversation) ask(text string, echo bool) (answer string, err error) {
	answer, c.err = ask(c.ctx, printable(text), echo)
	return answer, c.err
}

// forget wipes the ticket. It is good once; the copy that libpam holds is wiped by libpam.
func (c *conversation) forget() {
	clear(c.plan.Ticket)
	c.plan.Ticket = nil
}

// printable takes from a module's text what could command a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// ErrNoTerminal is returned when a question is to be asked and there is no one to ask.
var ErrNoTerminal = errors.New("no terminal to ask at; give the ticket with --ticket-file, --ticket-fd or on standard input")

// Ask asks a person at the terminal of this process and returns the answer without its newline. What a hidden answer
// leaves on the screen is a line feed. The terminal is put back whatever happens, a signal included: then ctx has ended.
func Ask(ctx context.Context, prompt string, echo bool) (string, error) {
	return ask(ctx, prompt, echo)
}

func ask(ctx context.Context, prompt string, echo bool) (string, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return "", ErrNoTerminal
	}
	defer tty.Close()
	if !echo {
		restore, err := setTerminal(tty, hidden)
		if err != nil {
			return "", fmt.Errorf("hide what is typed: %w", err)
		}
		defer restore()
	}
	if _, err := tty.WriteString(prompt); err != nil {
		return "", err
	}
	line, err := readLineContext(ctx, tty)
	if !echo {
		tty.WriteString("\n")
	}
	return string(line), err
}

// maxLine bounds an answer: a terminal in canonical mode gives at most 4,095 bytes, a pipe anything.
const maxLine = 16384

// ErrNoAnswer is returned for input that ends before its line has begun.
var ErrNoAnswer = errors.New("no answer: the input has ended")

// ReadLine reads one line byte by byte, so that what follows it stays for whoever reads next. A line over 16 KiB is an error.
func ReadLine(f *os.File) ([]byte, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := f.Read(b)
		switch {
		case n == 1 && b[0] == '\n':
			return line, nil
		case n == 1 && len(line) == maxLine:
			return nil, fmt.Errorf("a line of over %d bytes", maxLine)
		case n == 1:
			line = append(line, b[0])
		case err != nil && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, ErrNoAnswer
		}
	}
}

func readLineContext(ctx context.Context, f *os.File) ([]byte, error) {
	type result struct {
		line []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := ReadLine(f)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
