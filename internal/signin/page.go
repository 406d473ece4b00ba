package signin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pwb-project/pwb/internal/web"
)

//go:embed page/*.html
var pageFiles embed.FS

//go:embed static
var staticFiles embed.FS

// asset is a static file under a name that changes with its content, so that browsers may keep it for ever.
type asset struct {
	body []byte
	kind string
	etag string
}

var kinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assets returns the static files by the names that pages use, and those names by the ones that the files have. As with
// templates, only a front door needs them: read at the start of the program, every command and every PAM call waited for them.
var assets = sync.OnceValues(loadAssets)

func loadAssets() (map[string]asset, map[string]string) {
	all, names := map[string]asset{}, map[string]string{}
	files, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		panic(err) // they are in the program
	}
	for _, f := range files {
		body, err := staticFiles.ReadFile("static/" + f.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		hash, ext := hex.EncodeToString(sum[:8]), path.Ext(f.Name())
		name := strings.TrimSuffix(f.Name(), ext) + "." + hash + ext
		all[name], names[f.Name()] = asset{body, kinds[ext], `"` + hash + `"`}, name
	}
	return all, names
}

func static(w http.ResponseWriter, r *http.Request) {
	all, _ := assets()
	a, found := all[r.PathValue("file")]
	if !found {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}

// templates returns the pages, each with the frame around it.
var templates = sync.OnceValue(loadTemplates)

func loadTemplates() map[string]*template.Template {
	_, assetNames := assets()
	funcs := template.FuncMap{
		"asset": func(name string) string { return "/static/" + assetNames[name] },
		"clock": func(t time.Time) string { return t.Format("15:04:05 MST") },
		"day":   day,
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"stamp": func(t time.Time) string { return t.UTC().Format(time.DateTime) },
	}
	frame := template.Must(template.New("frame.html").Funcs(funcs).ParseFS(pageFiles, "page/frame.html"))
	all := map[string]*template.Template{}
	files, err := fs.Glob(pageFiles, "page/*.html")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(path.Base(f), ".html"); name != "frame" {
			all[name] = template.Must(template.Must(frame.Clone()).ParseFS(pageFiles, f))
		}
	}
	return all
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2 January 2006, 15:04 MST")
}

// page is what the frame and every page know.
type page struct {
	Title   string
	Prefix  string // of every path
	URL     string // of the front door
	Host    string
	Contact string
	Request string
	Visit   *visit // nil: nobody is signed in
	Token   string // of forms
	Admin   bool
	Tabs    []tab // of the administrator's pages
	Body    any
}

// ContactLink is the address behind Contact, where it is one.
func (p page) ContactLink() string {
	switch {
	case strings.HasPrefix(p.Contact, "https://"):
		return p.Contact
	case strings.Count(p.Contact, "@") == 1 && !strings.ContainsAny(p.Contact, " <>?&"):
		return "mailto:" + p.Contact
	}
	return ""
}

type tab struct {
	Path, Name string
	Here       bool
}

// show writes a page. It is made whole first: an error in the middle is not half a page.
func (d *Door) show(w http.ResponseWriter, r *http.Request, status int, name, title string, v *visit, body any) {
	p := page{Title: title, Prefix: d.prefix, URL: d.cfg.URL, Host: d.cfg.Host, Contact: d.cfg.Contact, Request: web.ClientOf(r).Request, Visit: v, Body: body}
	if v != nil {
		p.Token = v.token()
		if p.Admin = v.admin() == nil; p.Admin {
			p.Tabs = d.tabs(r.URL.Path)
		}
	}
	var out bytes.Buffer
	if err := templates()[name].ExecuteTemplate(&out, "frame.html", p); err != nil {
		d.cfg.Log.Error("page", "page", name, "error", err.Error())
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(out.Bytes())
}

// ask shows the page on which people begin to sign in; next is where they wanted to go.
func (d *Door) ask(w http.ResponseWriter, r *http.Request, next string) {
	d.show(w, r, http.StatusOK, "ask", "Sign in", nil, map[string]any{"Next": next, "Program": strings.HasPrefix(next, "/login/cli")})
}
