package hosttest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkNSS times single look-ups of our module beside files, libnss-cache, libnss-extrausers and nscd in front of files, in one
// run, for the same people: the figures to compare are those of one run. ns-p50 and ns-p99 are of calls by shuffled keys; nscd is
// asked, through the C library, for few people whom it knows already, since each other one costs it a scan. Peers whose packages
// are not in build/peers (make peers) are left out. Run it by make bench-nss.
func BenchmarkNSS(b *testing.B) {
	newMachine(b, "")
	run := func(name string, args ...string) string {
		b.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			b.Fatalf("%s %q: %v: %s", name, args, err, out)
		}
		return string(out)
	}
	run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", "/mnt/lookups", "testdata/lookups.c")
	for _, size := range []int{1000, 100_000, 1_000_000} {
		if testing.Short() && size > 1000 {
			break
		}
		p := newPeople(b, size)
		for _, peer := range peers() {
			if _, err := os.Stat(peer.needs); err != nil {
				b.Logf("%s is left out: %v; run make peers", peer.label, err)
				continue
			}
			undo := peer.place(b, p)
			lines := run("nice", "-n", "-10", "/mnt/lookups", peer.lib, peer.name, p.dir+"/keys", fmt.Sprint(peer.keys(size)))
			undo()
			for line := range strings.Lines(lines) {
				var call string
				var p50, p99 float64
				var wrong int
				if _, err := fmt.Sscan(line, &call, &p50, &p99, &wrong); err != nil {
					continue // a peer without initgroups
				}
				b.Run(fmt.Sprintf("%d/%s/%s", size, peer.label, call), func(b *testing.B) {
					for b.Loop() {
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(p50, "ns-p50")
					b.ReportMetric(p99, "ns-p99")
					if wrong > 0 {
						b.ReportMetric(float64(wrong), "wrong")
					}
				})
			}
		}
		os.RemoveAll(p.dir)
	}
}

// people is a company, as text and as keys that are asked for.
type people struct{ dir string }

func newPeople(b *testing.B, size int) *people {
	p := &people{fmt.Sprintf("/mnt/people-%d", size)}
	random := rand.New(rand.NewPCG(42, uint64(size)))
	teams := max(20, size/50)
	members := make([][]string, teams)
	counts := make([]int, size)
	names := make([]string, size)
	var passwd, group, keys bytes.Buffer
	for i := range size {
		names[i] = fmt.Sprintf("%s.%s%d", []string{"anna", "ben", "carlos", "fatima", "christopher"}[i%5], []string{"smith", "ng", "vandenberg"}[i%3], i)
		fmt.Fprintf(&passwd, "%s:x:%d:%d:Some Body %d:/home/%s:/bin/bash\n", names[i], firstID+i, firstID+i, i, names[i])
		for _, team := range random.Perm(min(teams-1, 40))[:1+random.IntN(11)] {
			team = 1 + (team+i*7)%(teams-1)
			if list := members[team]; len(list) == 0 || list[len(list)-1] != names[i] {
				members[team] = append(members[team], names[i])
				counts[i]++
			}
		}
		if i < 5000 {
			members[0] = append(members[0], names[i])
			counts[i]++
		}
	}
	for i, list := range members {
		fmt.Fprintf(&group, "team%d:x:%d:%s\n", i, firstID+size+i, strings.Join(list, ","))
	}
	for _, i := range random.Perm(size)[:min(size, 200_000)] {
		fmt.Fprintf(&keys, "u %s %d %d\n", names[i], firstID+i, counts[i])
	}
	for _, i := range random.Perm(teams) {
		fmt.Fprintf(&keys, "g team%d %d %d\n", i, firstID+size+i, len(members[i]))
	}
	err := os.MkdirAll(p.dir, 0o755)
	for name, text := range map[string][]byte{"passwd": passwd.Bytes(), "group": group.Bytes(), "keys": keys.Bytes()} {
		err = errors.Join(err, os.WriteFile(p.dir+"/"+name, text, 0o644))
	}
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// firstID is where ids begin: libnss-cache knows none above 2^31.
const firstID = 1_879_048_192

type peer struct {
	label, name, lib string
	needs            string // is left out without this file
	place            func(*testing.B, *people) (undo func())
	keys             func(size int) int
}

func peers() []peer {
	all := func(size int) int { return size }
	built := builtFolder() + "/peers"
	ours, cache, extra := libFolder()+"/libnss_pwb.so.2", built+libFolder()+"/libnss_cache.so.2", built+"/usr/lib/libnss_extrausers.so.2"
	return []peer{
		{"pwb", "pwb", ours, ours, placeSnapshot, all},
		{"files", "files", "-", "/etc/passwd", placeFiles, all},
		{"cache", "cache", cache, cache, placeCache, all},
		{"extrausers", "extrausers", extra, extra, placeExtra, all},
		{"nscd", "libc", "-", built + "/usr/sbin/nscd", placeNSCD, func(size int) int { return max(20, 1000/(1+size/2000)) }},
	}
}

// bound puts files in the place of the machine's.
func bound(b *testing.B, p *people, to map[string]string) (undo func()) {
	b.Helper()
	for from, target := range to {
		if !filepath.IsAbs(from) {
			from = p.dir + "/" + from
		}
		err := os.MkdirAll(filepath.Dir(target), 0o755)
		if _, statErr := os.Stat(target); statErr != nil {
			err = errors.Join(err, os.WriteFile(target, nil, 0o644))
		}
		if err := errors.Join(err, syscall.Mount(from, target, "", syscall.MS_BIND, "")); err != nil {
			b.Fatal(err)
		}
	}
	return func() {
		for _, target := range to {
			syscall.Unmount(target, syscall.MNT_DETACH)
		}
	}
}

func placeFiles(b *testing.B, p *people) func() {
	return bound(b, p, map[string]string{"passwd": "/etc/passwd", "group": "/etc/group"})
}

func placeExtra(b *testing.B, p *people) func() {
	return bound(b, p, map[string]string{"passwd": "/var/lib/extrausers/passwd", "group": "/var/lib/extrausers/group"})
}

func placeSnapshot(b *testing.B, p *people) func() {
	if out, err := exec.Command("/usr/bin/pwb", "snapshot", "write", "--passwd", p.dir+"/passwd", "--group", p.dir+"/group").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return func() { os.RemoveAll("/var/lib/pwb-nss") }
}

// placeCache makes what nsscache(1) would: the text, and indexes of it by name and by id, sorted, of lines of one length.
func placeCache(b *testing.B, p *people) func() {
	to := map[string]string{}
	for _, table := range []string{"passwd", "group"} {
		text, err := os.ReadFile(p.dir + "/" + table)
		if err != nil {
			b.Fatal(err)
		}
		to[table] = "/etc/" + table + ".cache"
		for field, suffix := range map[int]string{0: "ixname", 2: map[string]string{"passwd": "ixuid", "group": "ixgid"}[table]} {
			index := fmt.Sprintf("%s/%s.%s", p.dir, table, suffix)
			if err := os.WriteFile(index, cacheIndex(text, field), 0o644); err != nil {
				b.Fatal(err)
			}
			to[index] = "/etc/" + table + ".cache." + suffix
		}
	}
	return bound(b, p, to)
}

func cacheIndex(text []byte, field int) []byte {
	type entry struct {
		key string
		at  int
	}
	var all []entry
	at, longest := 0, 0
	for line := range bytes.Lines(text) {
		key := string(bytes.SplitN(line, []byte(":"), 4)[field])
		all = append(all, entry{key, at})
		longest = max(longest, len(key)+len(fmt.Sprint(at)))
		at += len(line)
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	for _, e := range all {
		line := fmt.Sprintf("%s\x00%d\x00", e.key, e.at)
		fmt.Fprintf(w, "%s%s\n", line, strings.Repeat("\x00", longest+2-len(line)))
	}
	w.Flush()
	return out.Bytes()
}

func placeNSCD(b *testing.B, p *people) func() {
	undo := placeFiles(b, p)
	program := builtFolder() + "/peers/usr/sbin/nscd"
	var conf strings.Builder
	conf.WriteString("threads 4\nmax-threads 4\nparanoia no\n")
	for _, table := range []string{"passwd", "group"} {
		for _, setting := range []string{"enable-cache T yes", "positive-time-to-live T 36000", "negative-time-to-live T 36000", "suggested-size T 10007",
			"check-files T no", "persistent T no", "shared T yes", "max-db-size T 1073741824", "auto-propagate T no"} {
			conf.WriteString(strings.Replace(setting, "T", table, 1) + "\n")
		}
	}
	err := errors.Join(os.WriteFile("/mnt/nscd.conf", []byte(conf.String()), 0o644), os.MkdirAll("/run/nscd", 0o755), os.MkdirAll("/var/cache/nscd", 0o755),
		os.WriteFile("/etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nshadow: files\nhosts: files\n"), 0o644))
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program, "-F", "-f", "/mnt/nscd.conf")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Second)
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
		undo()
	}
}
