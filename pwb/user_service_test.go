package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTokensOfTheUserService(t *testing.T) {
	r := newTree(t)
	shape := regexp.MustCompile(`^pwb_scim_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}$`)
	var tokens []string
	for _, args := range [][]string{
		{"generate-token", "Entra"}, {"generate-token", "Entra", "--duration", "10"}, {"generate-token", "--scope", "scim:read", "--no-expiry", "--cidr", "20.0.0.0/8", "reader"},
		{"rotate-token", "Entra", "--overlap", "2"},
	} {
		out, errs, status := r.pwb("", append([]string{"user-service"}, args...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		token := lines[len(lines)-1]
		if status != 0 || !shape.MatchString(token) {
			t.Fatalf("pwb user-service %v: %q %q %d", args, out, errs, status)
		}
		tokens = append(tokens, token)
	}
	id := func(i int) string { return tokens[i][len("pwb_scim_"):][:8] }
	for _, tt := range []struct {
		args, want string
		status     int
	}{
		{"list-tokens", "reader  pwb_scim_" + id(2) + "_…  scim:read   live   ", 0},
		{"list-tokens", "20.0.0.0/8", 0},
		{"list-tokens --json", `"scope": "scim:read"`, 0},
		{"generate-token", "one NAME", 2},
		{"generate-token x --duration 0", `"0" is no number of days from 1 to 3650`, 2},
		{"generate-token x --scope admin", `"admin" is neither scim:write nor scim:read`, 2},
		{"generate-token x --cidr here", `"here" is no range of addresses`, 2},
		{"rotate-token nobody", "no such token", 1},
		{"revoke-token nobody", `no token "nobody" is in force`, 1},
		{"revoke-token Entra --id " + id(3), "one of NAME, --id ID and --all", 2},
		{"revoke-token Entra --all", "one of NAME, --id ID and --all", 2},
		{"revoke-token --id " + id(3), "1 tokens revoked", 0},
		{"revoke-token Entra", "2 tokens revoked", 0},
		{"list-tokens", "reader  pwb_scim_" + id(2) + "_…  scim:read   live   ", 0},
		{"revoke-token --all", "1 tokens revoked", 0},
		{"revoke-token --all", "0 tokens revoked", 0},
	} {
		out, errs, status := r.pwb("", append([]string{"user-service"}, strings.Fields(tt.args)...)...)
		if status != tt.status || !strings.Contains(out+errs, tt.want) {
			t.Errorf("pwb user-service %s: %d, want %d; without %q:\n%s%s", tt.args, status, tt.status, tt.want, out, errs)
		}
	}
	// GHSA-p989-2f5w-9cf6: what was printed once is nowhere else.
	filepath.WalkDir(r.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, token := range tokens {
			if err != nil || strings.Contains(string(text), token[len("pwb_scim_")+9:]) {
				t.Errorf("%s has a token's secret, or %v", path, err)
			}
		}
		return nil
	})
}

func TestPurge(t *testing.T) {
	r := registering(t)
	r.write("/people.csv", "carol,70001,"+oidA+",Carol Example\ndave,70002,"+oidB+"\n", 0o600)
	r.pwb("", "users", "import", r.dir+"/people.csv")
	r.write("/home/dave/file", "of somebody else", 0o600)
	for _, tt := range []struct {
		args, want string
		status     int
	}{
		{"users purge carol --yes carol", "pwb lock-user carol", 1},
		{"lock-user carol", "", 0},
		{"users status carol", "locked (pwb unlock-user)", 0},
		{"users status carol --json", "", 0},
		{"users purge carol", "say --yes carol where there is no terminal", 2},
		{"users purge carol --yes dave", "--yes dave is not carol", 2},
		{"users purge carol --yes carol --remove-home", "no such file", 1},
		{"users show carol", "Carol Example", 0}, // what could not be done whole is not done
		{"users purge carol --yes carol", "", 0},
		{"users show carol", "deleted", 0},
		{"lock-user dave", "", 0},
		{"users purge dave --yes dave --remove-home", "is no folder of", 1},
		{"users purge dave --yes dave --archive " + r.dir + "/a.tgz", "is no folder of", 1},
		{"users show dave", oidB, 0},
	} {
		out, errs, status := r.pwb("", strings.Fields(tt.args)...)
		if status != tt.status || !strings.Contains(out+errs, tt.want) {
			t.Errorf("pwb %s: %d, want %d; without %q:\n%s%s", tt.args, status, tt.status, tt.want, out, errs)
		}
	}
	if out, _, _ := r.pwb("", "users", "show", "carol"); strings.Contains(out, oidA) || strings.Contains(out, "Example") {
		t.Errorf("carol is not forgotten: %s", out)
	}
	if _, err := os.Stat(r.dir + "/home/dave/file"); err != nil {
		t.Error(err)
	}
}
