package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkPamtester compares build/pamtester with the known one, run in turn: the median of the pairs' ratios is the figure to
// read, as machines are never quiet. Both read the machine's "other" service and call setcred alone. Run it by make bench-pamtester.
func BenchmarkPamtester(b *testing.B) {
	ours, theirs := "../build/pamtester", "/usr/bin/pamtester"
	for _, path := range []string{ours, theirs} {
		if _, err := os.Stat(path); err != nil {
			b.Skip(err)
		}
	}
	const pairs = 300
	took := func(args ...string) time.Duration {
		began := time.Now()
		exec.Command(args[0], args[1:]...).Run()
		return time.Since(began)
	}
	ratios := make([]float64, 0, pairs)
	for range pairs {
		a := took(ours, "pwb-bench", "nobody", "setcred")
		ratios = append(ratios, float64(a)/float64(took(theirs, "pwb-bench", "nobody", "setcred")))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[pairs/2], "x-original")
	each := float64(took(ours, "--repeat", "2000", "pwb-bench", "nobody", "setcred")) / 2000
	b.ReportMetric(float64(took(ours, "pwb-bench", "nobody", "setcred"))/each, "repeat-gain")
}
