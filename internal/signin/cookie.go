package signin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/secret"
)

const (
	sessionCookie = "pwb-session"
	flowCookie    = "pwb-sign-in-"
)

// cookieName has the prefix by which browsers refuse a cookie that another host of the domain, or plain HTTP, has set. They refuse
// it on plain HTTP too, which is for loopback addresses.
func (d *Door) cookieName(name string) string {
	if d.secure {
		return "__Host-" + name
	}
	return name
}

// setCookie sets a cookie that scripts cannot read and that other sites' forms do not carry. Lax, since the way back from the
// provider begins there. A life of 0 is the browser's; a negative one takes the cookie away.
func (d *Door) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	seconds := int(life / time.Second)
	http.SetCookie(w, &http.Cookie{
		Name: d.cookieName(name), Value: value, Path: "/", MaxAge: seconds, Secure: d.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (d *Door) cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(d.cookieName(name))
	if len(found) != 1 { // two of a name are not both ours
		return ""
	}
	return found[0].Value
}

// random is 256 bits that nobody can guess, as text of 43 characters.
func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// looksRandom says whether a text is one that random could have made.
func looksRandom(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32 && !strings.ContainsAny(s, "\r\n")
}

// derived is a value that only who knows from can tell, and that does not tell it.
func derived(what, from string) [32]byte { return sha256.Sum256([]byte("pwb " + what + "\x00" + from)) }

// hintKey encrypts what a session keeps of the ID token: the database alone does not give it away.
func hintKey(id string) *secret.Key {
	sum := derived("session hint", id)
	key, err := secret.ParseKey([]byte(hex.EncodeToString(sum[:]) + "\n"))
	if err != nil {
		panic(err) // its form is ours
	}
	return key
}
