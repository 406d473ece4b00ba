package scim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// shape is a request that a client was seen to send, and what must be there after it.
type shape struct {
	Source string
	Seed   json.RawMessage // a user or a group, before
	Body   json.RawMessage // of the PATCH
	Want   map[string]any  // attributes after it; null is absent
	Group  bool
}

// TestRecordedShapes sends each request in testdata/shapes twice: a provider that heard no answer says it again.
func TestRecordedShapes(t *testing.T) {
	files, err := filepath.Glob("testdata/shapes/*.json")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]shape
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(file, err)
		}
		for name, s := range all {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".json")+"/"+name, func(t *testing.T) { sendShape(t, s) })
		}
	}
}

func sendShape(t *testing.T, s shape) {
	x := serve(t)
	m1, _ := x.user(`{"userName":"m1"}`)
	m2, _ := x.user(`{"userName":"m2"}`)
	m3, _ := x.user(`{"userName":"m3"}`)
	ids := strings.NewReplacer("{M1}", m1, "{M2}", m2, "{M3}", m3)
	endpoint := "/Users"
	if s.Group {
		endpoint = "/Groups"
	}
	id := x.must(201, "POST", endpoint, ids.Replace(string(s.Seed))).body["id"].(string)
	body := strings.ReplaceAll(ids.Replace(string(s.Body)), "{ID}", id)
	for range 2 {
		if a := x.do("PATCH", endpoint+"/"+id, body); a.status != 200 && a.status != 204 {
			t.Fatalf("%d %s", a.status, a.text)
		}
		after := x.must(200, "GET", endpoint+"/"+id, "").body
		for path, want := range s.Want {
			if w, ok := want.(string); ok {
				want = ids.Replace(w)
			}
			if got := at(after, path); !reflect.DeepEqual(got, want) {
				t.Errorf("%s is %v, want %v", path, got, want)
			}
		}
	}
}

// at is a place in a resource: NAME/NAME, with a number or type=x for an element of a list, and # for how many there are.
func at(v any, path string) any {
	for part := range strings.SplitSeq(path, "/") {
		switch have := v.(type) {
		case object:
			v = have[part]
		case []any:
			if part == "#" {
				return float64(len(have))
			}
			key, want, _ := strings.Cut(part, "=")
			v = nil
			for _, one := range have {
				if e, ok := one.(object); ok && e[key] == want {
					v = one
				}
			}
		default:
			return nil
		}
	}
	return v
}
