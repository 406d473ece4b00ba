package hosttest

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// measured is what the program transaction prints.
type measured struct {
	ns                               float64
	kib, drift, threads, descriptors int
}

func (m *machine) transaction(t testing.TB, service, answer string, cycles int) measured {
	t.Helper()
	cmd := exec.Command("/mnt/transaction", service, user, fmt.Sprint(cycles))
	cmd.Stdin = strings.NewReader(answer + "\n")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		log, _ := os.ReadFile(m.log)
		t.Fatalf("%s: %v\n%s", service, err, log)
	}
	var got measured
	if _, err := fmt.Sscan(string(out), &got.ns, &got.kib, &got.drift, &got.threads, &got.descriptors); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return got
}

// services writes the stacks that are compared.
func (m *machine) services() {
	for name, module := range map[string]string{
		"bench-permit": "pam_permit.so", "bench-unix": "pam_unix.so", "bench-exec": "pam_exec.so quiet /bin/true", "bench-pwb": "pam_pwb.so umask=0077",
	} {
		text := ""
		for _, kind := range []string{"auth", "account", "session"} {
			text += kind + " required " + module + "\n"
		}
		if name == "bench-exec" { // pam_exec cannot set credentials
			text += "auth optional pam_permit.so\n"
		}
		m.write("/etc/pam.d/"+name, text, 0o644)
	}
	m.expect(user+":secret\n", 0, "", "chpasswd")
}

// BenchmarkTransaction runs, in turn, one transaction of each kind in a fresh process, and reports medians and their ratios to
// pam_permit. A home is there, as at every login but the first.
func BenchmarkTransaction(b *testing.B) {
	m := newMachine(b, "")
	m.services()
	m.start()
	m.transaction(b, "bench-pwb", m.ticket(), 1)
	kinds := []string{"permit", "unix", "exec", "resident", "spawned"}
	times := map[string][]float64{}
	for b.Loop() {
		for _, kind := range kinds {
			service, answer := "bench-"+kind, "secret"
			switch kind {
			case "resident", "spawned":
				service, answer = "bench-pwb", m.ticket()
			}
			if kind == "spawned" {
				os.Rename("/run/pwb/worker.sock", "/run/pwb/aside")
			}
			times[kind] = append(times[kind], m.transaction(b, service, answer, 1).ns)
			if kind == "spawned" {
				os.Rename("/run/pwb/aside", "/run/pwb/worker.sock")
			}
		}
	}
	permit := median(times["permit"])
	for _, kind := range kinds {
		b.ReportMetric(median(times[kind])/1000, kind+"-µs")
		b.ReportMetric(median(times[kind])/permit, kind+"/permit")
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// What a host is left with, beside what pam_permit leaves it with.
func TestAHostIsLeftAsItWas(t *testing.T) {
	m := newMachine(t, "insecure-reuse-tickets=1\n")
	m.services()
	m.start()
	ticket := m.ticket()
	permit := m.transaction(t, "bench-permit", "secret", 1)
	pwb := m.transaction(t, "bench-pwb", ticket, 1)
	if grown := pwb.kib - permit.kib; grown > 300 || pwb.threads != 0 || pwb.descriptors != permit.descriptors {
		t.Errorf("the host grew %d KiB beyond pam_permit's, %d threads, %d descriptors", grown, pwb.threads, pwb.descriptors)
	}
	// The allocator takes its time to settle; what leaks goes on growing.
	few, many := m.transaction(t, "bench-pwb", ticket, 500), m.transaction(t, "bench-pwb", ticket, 1500)
	if many.threads != 0 || many.descriptors != permit.descriptors || many.drift > few.drift+48 {
		t.Errorf("after 1,500 cycles: %+v, after 500: %+v", many, few)
	}
	if st, err := os.Stat(pamFolder() + "/pam_pwb.so"); err != nil || st.Size() > 64<<10 {
		t.Errorf("pam_pwb.so has %d bytes, %v", st.Size(), err)
	}
}
