package homedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

var kindLetters = map[string]uint32{"d": unix.S_IFDIR, "f": unix.S_IFREG, "l": unix.S_IFLNK}

// policy makes the policy in a folder the one of the machine, until the test ends.
func policy(t *testing.T, dir string) {
	t.Helper()
	was := selinux
	t.Cleanup(func() { selinux = was })
	selinux.mount, selinux.config, selinux.magic = "/proc", dir, unix.PROC_SUPER_MAGIC
}

// testdata/selinux/want is what libselinux 3.4 answered for each path: selabel_lookup -b file -f file_contexts -k PATH -t KIND.
func TestLabelsAsLibselinuxHasThem(t *testing.T) {
	dir, want := "testdata/selinux", "testdata/selinux/want"
	if other := os.Getenv("PWB_SELINUX_POLICY"); other != "" { // a whole policy of a machine that has one, and its answers
		dir, want = other, filepath.Join(other, "want")
	}
	policy(t, dir)
	text, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		kind, label, path := kindLetters[f[0]], strings.TrimPrefix(f[1], "none"), f[2]
		home := path
		if parts := strings.SplitN(path, "/", 4); len(parts) == 4 && !strings.Contains(path, "people") {
			home = strings.Join(parts[:3], "/")
		}
		l := loadLabels(home, func(format string, args ...any) { t.Errorf(format, args...) })
		if got := l.of(path, kind); got != label {
			t.Errorf("%s %s: %q, want %q", f[0], path, got, label)
		}
	}
}

func TestLabelsOfAHome(t *testing.T) {
	p := newPlace(t)
	files := p.dir + "/selinux/targeted/contexts/files"
	p.must(os.MkdirAll(files, 0o755), os.WriteFile(files+"/file_contexts", fmt.Appendf(nil,
		"%[1]s/home/new\t-d\tparent\n%[1]s/home/new/[^/]+\t-d\thome\n%[1]s/home/new/[^/]+/.+\tinside\n%[1]s/home/new/[^/]+/\\.ssh(/.*)?\tkeys\n"+
			"%[1]s/home/new/[^/]+/link\t-l\t<<none>>\n", p.dir), 0o644))
	policy(t, p.dir+"/selinux")
	var mu sync.Mutex // guards told
	told := map[string]int{}
	was := testSetLabel
	t.Cleanup(func() { testSetLabel = was })
	testSetLabel = func(_ *labeller, label string) error {
		mu.Lock()
		defer mu.Unlock()
		told[label]++
		return nil
	}
	p.skel(".ssh/config", "x", 0o600)
	p.skel(".profile", "x", 0o600)
	p.must(os.Symlink("x", p.dir+"/skel/link"))
	if _, err := Make(ctx, p.dir+"/home/new/alice", owner, p.opts); err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"parent", "home", "inside", "keys", ""} {
		if told[label] == 0 {
			t.Errorf("nothing was made with label %q: %v", label, told)
		}
	}
}

// A label that the kernel does not take is a matter for the log; the home is whole.
func TestALabelThatIsRefused(t *testing.T) {
	p := newPlace(t)
	files := p.dir + "/selinux/targeted/contexts/files"
	p.must(os.MkdirAll(files, 0o755), os.WriteFile(files+"/file_contexts", []byte("/.* nonsense\n(bad\t-d\tx\n/mnt/.*\t-q\tx\n"), 0o644))
	policy(t, p.dir+"/selinux")
	was := testSetLabel
	t.Cleanup(func() { testSetLabel = was })
	testSetLabel = func(*labeller, string) error { return unix.EINVAL }
	p.skel("a/file", "x", 0o600)
	var warned []string
	p.opts.Warn = func(text string) { warned = append(warned, text) }
	if r := p.make(); !r.Made {
		t.Errorf("Make = %+v", r)
	}
	want := []string{"error parsing regexp", `SELinux refuses the label "nonsense": invalid argument; run: restorecon -RF ` + p.home()}
	if len(warned) != 2 || !strings.Contains(warned[0], want[0]) || warned[1] != want[1] {
		t.Errorf("warned %q, want %q", warned, want)
	}
}

// The label before the one that is refused is another object's.
func TestNothingGetsTheLabelOfSomethingElse(t *testing.T) {
	p := newPlace(t)
	files := p.dir + "/selinux/targeted/contexts/files"
	p.must(os.MkdirAll(files, 0o755), os.WriteFile(files+"/file_contexts", []byte("/.*\tnonsense\n/mnt/[^/]+/home/alice -d\thome\n"), 0o644))
	policy(t, p.dir+"/selinux")
	force, cannot := "", "-"
	was := testSetLabel
	t.Cleanup(func() { testSetLabel = was })
	testSetLabel = func(_ *labeller, label string) error {
		if label == "nonsense" || label == cannot {
			return unix.EINVAL
		}
		force = label
		return nil
	}
	p.skel("file", "x", 0o600)
	if p.make(); force != "" {
		t.Errorf("the file has the label %q", force)
	}
	p.must(os.RemoveAll(p.home()))
	cannot = "" // and it stays
	if _, err := Make(ctx, p.home(), owner, p.opts); err == nil || !strings.Contains(err.Error(), `SELinux keeps the label "home" of something else`) {
		t.Errorf("Make: %v", err)
	}
	p.nothing()
}

// The thread's own file in /proc is what is written: without SELinux in the kernel it refuses with EINVAL, not with EACCES
// or ENOENT, which would mean another thread's file or none.
func TestTheThreadsOwnFile(t *testing.T) {
	l := &labeller{fd: -1}
	defer l.close()
	err := l.set("system_u:object_r:user_home_t:s0")
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("set: %v", err)
	}
}

func TestPolicyType(t *testing.T) {
	for text, want := range map[string]string{"": "targeted", "SELINUXTYPE=mls\n": "mls", "# SELINUXTYPE=mls\nSELINUXTYPE = default \n": "default", "SELINUXTYPE=../../x\n": "x"} {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := policyType(file); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// What every match of an expression begins with: an expression must never match what does not begin so.
func FuzzLabels(f *testing.F) {
	f.Add("/home/[^/]+/\\.ssh(/.*)?\t-d\tlabel", "/home/alice/.ssh")
	f.Add("/ho?me/a{1,2}\tlabel", "/hme/aa")
	f.Add("/(a|b)/.*\t--\t<<none>>", "/a/b")
	f.Fuzz(func(t *testing.T, line, path string) {
		file := filepath.Join(t.TempDir(), "file_contexts")
		if err := os.WriteFile(file, []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
		all, some := new(labels), new(labels)
		all.read(file, "")
		some.read(file, path)
		for _, kind := range kindLetters {
			if a, b := all.of(path, kind), some.of(path, kind); a != b {
				t.Errorf("%q: %q of all lines is %q, of those that can match %q", line, path, a, b)
			}
		}
	})
}
