package homedir

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/nstest"
)

// BenchmarkHomes compares, in one run: this package in a process that is there already, pwb as a process, the peers and a
// program that only makes the system calls. Each makes every home new in a fresh file system in memory. Small homes stay: ext4
// avoids inodes freed in the last minutes. Large ones go before the next is timed, or the kernel would slow down whoever
// writes. The median is the figure to read. Run it by make bench-homedir.
func BenchmarkHomes(b *testing.B) {
	m := newBench(b)
	for _, job := range []struct {
		name        string
		kind, image string
		fill        func(dir string) error
	}{
		{"3-files", "ext4", "512M", func(dir string) error { return files(dir, 3, 0) }},
		{"1000-files", "ext4", "2G", func(dir string) error { return files(dir, 1000, 20) }},
		{"10000-files", "ext4", "6G", func(dir string) error { return files(dir, 10_000, 500) }},
		{"1-GiB", "ext4", "4G", func(dir string) error { return random(dir+"/large", 1<<30) }},
		{"1-GiB-xfs", "xfs", "4G", func(dir string) error { return random(dir+"/large", 1<<30) }},
		{"1-GiB-btrfs", "btrfs", "4G", func(dir string) error { return random(dir+"/large", 1<<30) }},
		{"5-GiB-hole", "ext4", "1G", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/hole", nil, 0o644), os.Truncate(dir+"/hole", 5<<30))
		}},
	} {
		for _, by := range m.makers() {
			if job.name == "5-GiB-hole" && by.zeros {
				continue // they take 8 to 18 s a home, and 5 GiB of memory here
			}
			b.Run(job.name+"/"+by.name, func(b *testing.B) {
				m.fresh(job.kind, job.image)
				m.large = strings.HasPrefix(job.name, "1-GiB")
				if err := job.fill(m.skel); err != nil {
					b.Fatal(err)
				}
				m.measure(b, by)
			})
		}
	}
}

type bench struct {
	b             testing.TB
	dir, skel, fs string
	large         bool // homes go as soon as they are timed
}

type maker struct {
	name  string
	make  func(user int) error
	zeros bool // fills holes
}

const benchUsers = 200

func newBench(b *testing.B) *bench {
	nstest.Need(b)
	m := &bench{b: b, dir: "/mnt", fs: "/mnt/fs", skel: "/mnt/fs/skel"}
	var lines strings.Builder
	for n := range benchUsers {
		fmt.Fprintf(&lines, "bench%d:x:%d:%d::%s:/bin/sh\n", n, 20000+n, 20000+n, m.home(n))
	}
	m.do(os.MkdirAll(m.fs, 0o755), os.WriteFile("/mnt/passwd", []byte("root:x:0:0::/root:/bin/sh\n"+lines.String()), 0o644),
		unix.Mount("/mnt/passwd", "/etc/passwd", "", unix.MS_BIND, ""))
	m.run("cc", "-O2", "-o", "/mnt/floor", "testdata/floor.c")
	m.run("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", "/mnt/pwb", "../pwb")
	m.run("env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "/mnt/alone/mkhomedir_helper", "../mkhomedir")
	m.startWorker()
	b.Cleanup(func() { unix.Unmount("/etc/passwd", unix.MNT_DETACH); unix.Unmount(m.fs, unix.MNT_DETACH) })
	return m
}

// startWorker runs the worker that the small program asks.
func (m *bench) startWorker() {
	const socket = "/mnt/worker.sock"
	m.do(os.MkdirAll("/mnt/ours", 0o755))
	m.run("cc", "-O2", `-DPWB_SOCKET="`+socket+`"`, `-DPWB_HOMEMAKER="/nowhere"`, "-o", "/mnt/ours/mkhomedir_helper",
		"../mkhomedir/front/mkhomedir.c", "../pam_pwb/shim/reach.c", "../pam_pwb/shim/frame.c")
	m.run("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w -X main.socketPath="+socket, "-o", "/mnt/worker", "../pwb")
	cmd := exec.Command("/mnt/worker", "worker")
	m.do(cmd.Start())
	m.b.Cleanup(func() {
		cmd.Process.Signal(unix.SIGTERM)
		cmd.Wait()
	})
	for !exists(socket) {
		time.Sleep(10 * time.Millisecond)
	}
}

func (m *bench) home(n int) string { return fmt.Sprintf("%s/home%d", m.fs, n) }

func (m *bench) do(errs ...error) {
	m.b.Helper()
	if err := errors.Join(errs...); err != nil {
		m.b.Fatal(err)
	}
}

func (m *bench) run(name string, args ...string) {
	m.b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		m.b.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (m *bench) fresh(kind, size string) {
	unix.Unmount(m.fs, unix.MNT_DETACH)
	os.Remove("/mnt/image")
	m.run("truncate", "-s", size, "/mnt/image")
	switch kind {
	case "ext4":
		m.run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "/mnt/image")
	default:
		m.run("mkfs."+kind, "-q", "/mnt/image")
	}
	m.run("mount", "-o", "loop", "/mnt/image", m.fs)
	m.do(os.Mkdir(m.skel, 0o755))
}

func (m *bench) makers() []maker {
	process := func(stdin string, args ...string) func(int) error {
		return func(n int) error {
			fill := strings.NewReplacer("USER", fmt.Sprintf("bench%d", n), "HOME", m.home(n), "ID", fmt.Sprint(20000+n), "SKEL", m.skel)
			own := slices.Clone(args)
			for i := range own {
				own[i] = fill.Replace(own[i])
			}
			cmd := exec.Command(own[0], own[1:]...)
			cmd.Stdin = strings.NewReader(fill.Replace(stdin))
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%q: %w: %s", own, err, out)
			}
			return err
		}
	}
	inside := func(noSync bool) func(int) error {
		return func(n int) error {
			opts := Options{Skel: m.skel, LockDir: m.dir + "/locks", Modes: WithUmask(0o022), NoSync: noSync}
			_, err := Make(ctx, m.home(n), Owner{uint32(20000 + n), uint32(20000 + n)}, opts)
			return err
		}
	}
	all := []maker{
		{name: "worker-nosync", make: inside(true)},
		{name: "worker", make: inside(false)},
		{name: "pwb-nosync", make: process("", "/mnt/pwb", "mkhomedir", "--no-sync", "--umask", "022", "--skel", "SKEL", "USER")},
		{name: "pwb", make: process("", "/mnt/pwb", "mkhomedir", "--umask", "022", "--skel", "SKEL", "USER")},
		{name: "helper", make: process("", "/mnt/ours/mkhomedir_helper", "USER", "0022", "SKEL")},
		{name: "helper-alone", make: process("", "/mnt/alone/mkhomedir_helper", "USER", "0022", "SKEL")},
		{name: "mkhomedir_helper", make: process("", "/usr/sbin/mkhomedir_helper", "USER", "0022", "SKEL"), zeros: true},
		{name: "oddjob", make: process("USER\n", "/usr/libexec/oddjob/mkhomedir", "-q", "-u", "0022", "-s", "SKEL"), zeros: true},
		{name: "cp", make: process("", "cp", "-a", "SKEL", "HOME")},
		{name: "floor", make: process("", "/mnt/floor", "SKEL", "HOME", "ID", "ID"), zeros: true},
	}
	return slices.DeleteFunc(all, func(by maker) bool {
		return by.name == "oddjob" && !exists("/usr/libexec/oddjob/mkhomedir")
	})
}

func (m *bench) measure(b *testing.B, by maker) {
	if b.N >= benchUsers {
		b.Fatalf("at most %d homes: -benchtime 11x", benchUsers-1)
	}
	m.do(by.make(0)) // the cache is warm for everybody
	m.run("sync", "-f", m.fs)
	var took []time.Duration
	b.ResetTimer()
	for n := range b.N {
		began := time.Now()
		if err := by.make(n + 1); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		if m.large {
			b.StopTimer()
			m.do(os.RemoveAll(m.home(n+1)), os.RemoveAll(m.home(0)))
			m.run("sync", "-f", m.fs)
			b.StartTimer()
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(took[0].Microseconds())/1000, "ms-min")
}

// files makes n files of 2 KiB, in as many folders.
func files(dir string, n, folders int) error {
	for i := range n {
		in := dir
		if folders > 0 {
			in = filepath.Join(dir, fmt.Sprint("d", i%folders))
			if err := os.MkdirAll(in, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(in, fmt.Sprint("f", i)), make([]byte, 2048), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func random(name string, size int) error {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*i>>8) ^ byte(i>>16)
	}
	return os.WriteFile(name, b, 0o644)
}
