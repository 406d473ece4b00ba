package hosttest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// BenchmarkSCIM prints what the front answers in a second with ten thousand and a hundred thousand users, eight requests at a time.
// The bars are create 300/s, get 3000/s, filter 2500/s, patch 300/s, p99 below 50 ms, and a thousand members in 300 ms.
func BenchmarkSCIM(b *testing.B) {
	f := serveTree(b)
	load := &scimLoad{b: b, url: f.url + "/scim/v2", token: f.token("bench")}
	for _, users := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			load.b = b
			for b.Loop() { // once; it has a loop of its own
				load.fill(users)
				load.measure()
			}
		})
	}
}

type scimLoad struct {
	b          testing.TB
	url, token string
	ids        []string
}

func (l *scimLoad) send(method, path, body string) (string, time.Duration) {
	r, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+l.token)
	r.Header.Set("Content-Type", "application/scim+json")
	begun := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		l.b.Error(err)
		return "", 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > 299 {
		l.b.Errorf("%s %s: %d %s, %v", method, path, resp.StatusCode, text, err)
	}
	return string(text), time.Since(begun)
}

// at runs do n times, eight at once, and prints the figures.
func (l *scimLoad) at(what string, n int, do func(i int) time.Duration) {
	took := make([]time.Duration, n)
	begun := time.Now()
	var wg sync.WaitGroup
	for lane := range 8 {
		wg.Go(func() {
			for i := lane; i < n; i += 8 {
				took[i] = do(i)
			}
		})
	}
	wg.Wait()
	all := time.Since(begun)
	slices.Sort(took)
	if n > 1 {
		fmt.Printf("scim  %6d users  %-12s %8.0f/s  p50 %8v  p99 %8v\n", len(l.ids), what, float64(n)/all.Seconds(), took[n/2].Round(10*time.Microsecond), took[n*99/100].Round(10*time.Microsecond))
	} else {
		fmt.Printf("scim  %6d users  %-12s %v\n", len(l.ids), what, took[0].Round(time.Millisecond))
	}
}

func nameOf(i int) string { return fmt.Sprintf("person%d@example.com", i) }

func (l *scimLoad) fill(users int) {
	from := len(l.ids)
	l.ids = append(l.ids, make([]string, users-from)...)
	l.at("create", users-from, func(i int) time.Duration {
		i += from
		text, took := l.send("POST", "/Users", fmt.Sprintf(`{"userName":%q,"externalId":"x%d","displayName":"Person %d","active":true,"emails":[{"type":"work","value":%q,"primary":true}]}`, nameOf(i), i, i, nameOf(i)))
		_, rest, _ := strings.Cut(text, `"id":"`)
		l.ids[i], _, _ = strings.Cut(rest, `"`)
		return took
	})
}

func (l *scimLoad) measure() {
	const n = 4000
	pick := func(i int) int { return i * 7919 % len(l.ids) }
	l.at("get", n, func(i int) time.Duration { _, d := l.send("GET", "/Users/"+l.ids[pick(i)], ""); return d })
	l.at("filter", n, func(i int) time.Duration {
		_, d := l.send("GET", "/Users?filter="+url.QueryEscape(`userName eq "`+nameOf(pick(i))+`"`), "")
		return d
	})
	l.at("patch", 2000, func(i int) time.Duration {
		_, d := l.send("PATCH", "/Users/"+l.ids[pick(i)], `{"Operations":[{"op":"Replace","path":"title","value":"`+fmt.Sprint(time.Now().UnixNano())+`"}]}`)
		return d
	})
	text, _ := l.send("POST", "/Groups", fmt.Sprintf(`{"displayName":"everybody %d"}`, len(l.ids)))
	_, rest, _ := strings.Cut(text, `"id":"`)
	group, _, _ := strings.Cut(rest, `"`)
	members := func(from, to int) string {
		return `{"Operations":[{"op":"Add","path":"members","value":[{"value":"` + strings.Join(l.ids[from:to], `"},{"value":"`) + `"}]}]}`
	}
	l.at("1000 members", 1, func(int) time.Duration { _, d := l.send("PATCH", "/Groups/"+group, members(0, 1000)); return d })
	l.at("9000 more", 1, func(int) time.Duration { _, d := l.send("PATCH", "/Groups/"+group, members(1000, 10000)); return d })
	l.at("1 removed", 1, func(int) time.Duration {
		_, d := l.send("PATCH", "/Groups/"+group, `{"Operations":[{"op":"Remove","path":"members","value":[{"value":"`+l.ids[5]+`"}]}]}`)
		return d
	})
}
