package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// theProviderManages shows the second way to an account: the organisation's directory makes it, and ends it.
func theProviderManages(m *machine, p *provider, say *narrator) error {
	say.chapter("The provider manages accounts", "SCIM 2.0, with the requests that Entra ID sends in a provisioning cycle.")
	if err := m.startServe(); err != nil {
		return err
	}
	defer m.stopServe()
	say.note("The operator makes a token for the provider, and is shown it this once. (Not shown here.)")
	made := m.run("", "pwb", "user-service", "generate-token", "Entra ID")
	if made.status != 0 {
		return errors.New(made.output)
	}
	d := &cycle{token: lastLine(made.output), say: say}
	if _, err := say.command("", 0, "pwb_scim_", "pwb", "user-service", "list-tokens"); err != nil {
		return err
	}
	carol, err := d.provision()
	if err != nil {
		return err
	}
	say.note("Every program knows her before she has ever been here.")
	for _, c := range [][]string{{"carol:x:", "getent", "passwd", "carol"}, {"(data_scientists)", "id", "carol"}} {
		if _, err := say.command("", 0, c[0], c[1:]...); err != nil {
			return err
		}
	}
	ticket, err := p.signIn("carol@example.com")
	if err != nil {
		return err
	}
	if _, err := say.command(ticket+"\n", 0, "(data_scientists)", "pwb", "session", "carol", "--", "id"); err != nil {
		return err
	}
	say.note("She leaves the organisation.")
	off := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"False"}]}`
	if _, err := d.send("PATCH", "/Users/"+carol, off, http.StatusOK); err != nil {
		return err
	}
	if ticket, err = p.signIn("carol@example.com"); err != nil {
		return err
	}
	if err := say.refusal("A good ticket of hers", ticket, "Authentication failure", "locked", "carol"); err != nil {
		return err
	}
	for _, c := range []struct {
		status int
		want   string
		argv   []string
	}{
		{1, "User account has expired", pamtester("carol", "acct_mgmt")},
		{0, "deactivated", []string{"pwb", "users", "status", "carol"}},
		{0, "carol:x:", []string{"getent", "passwd", "carol"}},
	} {
		if _, err := say.command("", c.status, c.want, c.argv...); err != nil {
			return err
		}
	}
	return nil
}

// cycle is Entra ID's side of a provisioning cycle.
type cycle struct {
	token string
	say   *narrator
}

// provision looks for a user and a group, makes them, and puts the one into the other, as a first cycle does.
func (d *cycle) provision() (user string, err error) {
	for _, step := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", `/Users?filter=userName+eq+%22carol%40example.com%22`, "", http.StatusOK},
		{"POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"0f3b7c9e-6a51-4a63-9b0e-c4a0d4a6f111","userName":"carol@example.com","active":true,"displayName":"Carol Danvers","emails":[{"primary":true,"type":"work","value":"carol@example.com"}],"meta":{"resourceType":"User"}}`, http.StatusCreated},
		{"GET", `/Groups?excludedAttributes=members&filter=displayName+eq+%22Data+Scientists%22`, "", http.StatusOK},
		{"POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],"externalId":"7d8e2f10-1111-4222-8333-944445555666","displayName":"Data Scientists","meta":{"resourceType":"Group"}}`, http.StatusCreated},
		{"PATCH", "/Groups/{group}", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Add","path":"members","value":[{"$ref":null,"value":"{user}"}]}]}`, http.StatusNoContent},
	} {
		group := ""
		if strings.Contains(step.path, "{group}") {
			group = d.made("Groups")
		}
		names := strings.NewReplacer("{group}", group, "{user}", user)
		id, err := d.send(step.method, names.Replace(step.path), names.Replace(step.body), step.status)
		if err != nil {
			return "", err
		}
		if step.path == "/Users" {
			user = id
		}
	}
	return user, nil
}

// made is the id of the only resource at an endpoint.
func (d *cycle) made(endpoint string) string {
	id, _ := d.send("GET", "/"+endpoint+"?excludedAttributes=members", "", http.StatusOK)
	return id
}

// send shows a request and its answer's status, and returns the id of what the answer is about.
func (d *cycle) send(method, path, body string, status int) (id string, err error) {
	fmt.Printf("\n   %s %s\n", method, path)
	if body != "" {
		indent("     ", body)
	}
	r, err := http.NewRequest(method, front+"/scim/v2"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	r.Header.Set("Content-Type", "application/scim+json; charset=utf-8")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	fmt.Printf("     → %s\n", resp.Status)
	d.say.checks++
	if resp.StatusCode != status {
		return "", fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	var answer struct {
		ID        string
		Resources []struct{ ID string }
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			return "", err
		}
	}
	if len(answer.Resources) == 1 {
		return answer.Resources[0].ID, nil
	}
	return answer.ID, nil
}
