package scim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/web"
)

const (
	maxBody   = 4 << 20 // ten thousand members are half a megabyte
	maxDrain  = 32 << 20
	maxNested = 32
	mediaType = "application/scim+json"
)

// request is one request and the way to its answer.
type request struct {
	*http.Request
	w     http.ResponseWriter
	query url.Values
	base  string // of this service, for addresses in answers
	actor provision.Actor
}

// allow refuses other methods than these, and says which there are.
func (q *request) allow(methods ...string) error {
	if slices.Contains(methods, q.Method) || q.Method == http.MethodHead && slices.Contains(methods, http.MethodGet) {
		return nil
	}
	return &fault{status: http.StatusMethodNotAllowed, detail: q.Method + " is not possible here", header: map[string]string{"Allow": strings.Join(methods, ", ")}}
}

func (q *request) selection(r *resource) selection {
	return r.selects(names(q.query, "attributes"), names(q.query, "excludedAttributes"))
}

// body reads the JSON object of a request.
func (q *request) body() (object, error) {
	kind, _, err := mime.ParseMediaType(fallback(q.Header.Get("Content-Type"), mediaType))
	if err != nil || kind != mediaType && kind != "application/json" {
		return nil, &fault{status: http.StatusUnsupportedMediaType, detail: "the body is JSON: Content-Type " + mediaType}
	}
	text, err := q.read()
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, bad("invalidSyntax", "the body is empty")
	}
	if !utf8.Valid(text) {
		return nil, bad("invalidSyntax", "the body is not UTF-8")
	}
	if nested(text) > maxNested {
		return nil, bad("invalidSyntax", "the body is over %d levels deep", maxNested)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, bad("invalidSyntax", "the body is not JSON: %s", jsonTrouble(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad("invalidSyntax", "something follows the JSON object")
	}
	o, ok := v.(object)
	if !ok {
		return nil, bad("invalidSyntax", "the body is no JSON object")
	}
	return o, nil
}

func jsonTrouble(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("%v (byte %d)", syntax, syntax.Offset)
	}
	return "it ends too early"
}

// read reads the body up to its limit. Of a longer one the rest is thrown away for a while: a client that is still sending does not
// look for the answer.
func (q *request) read() ([]byte, error) {
	tooLong := &fault{status: http.StatusRequestEntityTooLarge, detail: "the body is over 4 MiB; send fewer members or operations at a time"}
	if q.ContentLength > maxBody {
		http.NewResponseController(q.w).SetReadDeadline(time.Now().Add(5 * time.Second))
		io.CopyN(io.Discard, q.Body, maxDrain)
		return nil, tooLong
	}
	text, err := io.ReadAll(io.LimitReader(q.Body, maxBody+1))
	if err != nil {
		return nil, bad("invalidSyntax", "the body did not arrive whole")
	}
	if len(text) > maxBody {
		http.NewResponseController(q.w).SetReadDeadline(time.Now().Add(5 * time.Second))
		io.CopyN(io.Discard, q.Body, maxDrain)
		return nil, tooLong
	}
	return text, nil
}

// nested is how deep a text of JSON goes.
func nested(text []byte) (deepest int) {
	depth, inText := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// ifMatch refuses a change to another version than the client knows, when it names one.
func (q *request) ifMatch(version string) error {
	if given := q.Header.Get("If-Match"); given != "" && !tagged(given, version) {
		return &fault{status: http.StatusPreconditionFailed, detail: "the resource has changed since: its version is " + version}
	}
	return nil
}

// unchanged answers 304 when the client has this version already.
func (q *request) unchanged(version string) bool {
	q.w.Header().Set("ETag", version)
	given := q.Header.Get("If-None-Match")
	if given == "" || q.Method != http.MethodGet && q.Method != http.MethodHead || !tagged(given, version) {
		return false
	}
	q.w.WriteHeader(http.StatusNotModified)
	return true
}

// tagged says whether a list of entity tags has this one. All are weak here.
func tagged(list, version string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(version, "W/") {
			return true
		}
	}
	return false
}

// answer writes an object.
func (q *request) answer(status int, v object) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", mediaType)
	q.w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	q.w.WriteHeader(status)
	q.w.Write(text)
	return nil
}

// refuse writes an error, and logs what the client is not told.
func (h *Handler) refuse(q *request, err error) int {
	f, hidden := faultOf(err)
	if hidden != nil || f.status >= 500 && f.status != http.StatusNotImplemented {
		level := slog.LevelError
		if f.status < 500 {
			level = slog.LevelInfo
		}
		if q.actor.Token == "" { // whoever it is
			level = h.notes.Level(level, web.ClientOf(q.Request).Addr, h.now())
		}
		h.Log.Log(q.Context(), level, "request failed", "request", q.actor.Request, "method", q.Method, "path", q.URL.Path, "status", f.status, "error", err.Error())
	}
	for name, value := range f.header {
		q.w.Header().Set(name, value)
	}
	body := object{"schemas": []string{urnError}, "status": strconv.Itoa(f.status), "detail": f.detail}
	if f.kind != "" {
		body["scimType"] = f.kind
	}
	if err := q.answer(f.status, body); err != nil {
		h.Log.Error("no error could be written", "error", err.Error())
	}
	return f.status
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d/time.Second) + 1) }
