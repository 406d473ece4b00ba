package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/config"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:            "config",
		Usage:           "the configuration",
		HideHelpCommand: true,
		Subcommands: []*cli.Command{{
			Name:  "check",
			Usage: "print what is in force and from where, and every problem at once",
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "json", Usage: "print as JSON"},
				&cli.BoolFlag{Name: "offline", Usage: "do not ask the identity provider"},
			},
			Action: func(c *cli.Context) error {
				r, err := root(c)
				if err != nil {
					return err
				}
				return checkConfig(c.Context, c.App.Writer, c.App.ErrWriter, r, c.Bool("json"), c.Bool("offline"))
			},
		}},
	}
}

type problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Warning bool   `json:"warning,omitempty"`
	Text    string `json:"text"`
}

// checkConfig prints settings on out and problems on errout; its error is silent and gives status 1.
func checkConfig(ctx context.Context, out, errout io.Writer, r config.Root, asJSON, offline bool) error {
	cfg, err := loadConfig(r)
	var found config.Problems
	if !errors.As(err, &found) && err != nil {
		found = config.Problems{{Text: err.Error()}}
	}
	found = append(found, cfg.Warnings...)
	var provider []string
	if err == nil {
		found = append(found, checkSecret(r, cfg)...)
		if _, err := ticketKeys(cfg); err != nil {
			found = append(found, config.Problem{Text: err.Error()})
		}
		if !offline && cfg.OpenID {
			if provider, err = askProvider(ctx, r, cfg); err != nil {
				found = append(found, config.Problem{Text: err.Error()})
			}
		}
	}
	if asJSON {
		err = printJSON(out, cfg, found, provider)
	} else {
		err = printText(out, errout, cfg, found, provider)
	}
	for _, p := range found {
		if !p.Warning {
			return errors.Join(err, cli.Exit("", 1))
		}
	}
	return err
}

// checkSecret decrypts the client secret, which the worker never needs and a sign-in does.
func checkSecret(r config.Root, cfg *config.Config) config.Problems {
	text, err := cfg.Secret()
	if err != nil {
		return config.Problems{{File: r.Join(config.SecretFile), Text: err.Error()}}
	}
	if looksLikeID(text) && strings.HasPrefix(cfg.Issuer, "https://login.microsoftonline.") {
		return config.Problems{{File: r.Join(config.SecretFile), Warning: true, Text: "client-secret " + likeID}}
	}
	return nil
}

func askProvider(ctx context.Context, r config.Root, cfg *config.Config) ([]string, error) {
	v, err := openVerifier(r, cfg, func(error) {})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	lines, err := v.Check(ctx)
	if err != nil {
		return nil, fmt.Errorf("the provider: %w", err)
	}
	return lines, nil
}

func printText(out, errout io.Writer, cfg *config.Config, found config.Problems, provider []string) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, s := range cfg.InForce {
		from := "default"
		if s.File != "" {
			from = fmt.Sprintf("%s:%d", s.File, s.Line)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Key, s.Value, from)
	}
	for _, line := range provider {
		fmt.Fprintf(w, "provider\t%s\tnow\n", line)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(cfg.Foreign) > 0 {
		fmt.Fprintf(out, "other keys of rserver.conf, not pwb's: %s\n", strings.Join(cfg.Foreign, " "))
	}
	for _, p := range found {
		text := p.String()
		if p.File == "" {
			text = p.Text
		}
		fmt.Fprintf(errout, "pwb: %s\n", text)
	}
	return nil
}

func printJSON(out io.Writer, cfg *config.Config, found config.Problems, provider []string) error {
	settings := []map[string]any{}
	for _, s := range cfg.InForce {
		settings = append(settings, map[string]any{"key": s.Key, "value": s.Value, "file": s.File, "line": s.Line})
	}
	problems := []problem{}
	for _, p := range found {
		problems = append(problems, problem(p))
	}
	foreign := append([]string{}, cfg.Foreign...) // [], not null
	provider = append([]string{}, provider...)
	return json.NewEncoder(out).Encode(map[string]any{
		"settings": settings, "foreign": foreign, "provider": provider, "problems": problems,
	})
}
