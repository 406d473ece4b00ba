package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	for _, tt := range []struct{ args, want, err string }{
		{"svc bob authenticate", "svc bob [{authenticate  }]", ""},
		{"-v svc bob authenticate setcred(PAM_SILENT)", "v svc bob [{authenticate  } {setcred PAM_SILENT }]", ""},
		{"-v0 svc bob x", "svc bob [{x  }]", ""},
		{"-vx svc bob x", "svc bob [{x  }]", ""},
		{"-v+1 svc bob x", "v svc bob [{x  }]", ""},
		{"-v-1 svc bob x", "svc bob [{x  }]", ""},
		{"-v-4294967295 svc bob x", "v svc bob [{x  }]", ""},
		{"-v2147483648 svc bob x", "svc bob [{x  }]", ""},
		{"-v4294967297 svc bob x", "v svc bob [{x  }]", ""},
		{"-v99999999999999999999 svc bob x", "svc bob [{x  }]", ""},
		{"--verbose svc bob x", "v svc bob [{x  }]", ""},
		{"-Irhost=a,b -I tty=x -E A=1 -EB svc bob x", "[rhost=a,b tty=x][A=1 B] svc bob [{x  }]", ""},
		{"-I -v svc bob x", "[-v][] svc bob [{x  }]", ""},
		{"-- - svc bob x", "svc bob [{x  }]", ""},
		{"svc -v x", "svc -v [{x  }]", ""},
		{"svc bob setcred(", "", `incorrect op_name spec "setcred(".`},
		{"svc bob setcred(X)y", "", `incorrect op_name spec "setcred(X)y".`},
		{"svc bob (X)", "", `incorrect op_name spec "(X)".`},
		{"svc bob authenticate=PAM_AUTH_ERR setcred(4)=17", "svc bob [{authenticate  PAM_AUTH_ERR} {setcred 4 17}]", ""},
		{"svc bob authenticate=nonsense", "svc bob [{authenticate=nonsense  }]", ""},
		{"-v", "", "please specify service name."},
		{"-I", "", "please specify service name."},
		{"svc", "", "please specify user name."},
		{"svc bob", "", "specify one or more operations."},
		{"-v -v svc bob x", "", `Option "v" may not be specified twice or more`},
		{"-v --verbose svc bob x", "", `Option "verbose" may not be specified twice or more`},
		{"-x svc bob x", "", `unknown option "-x"`},
		{"--nonsense svc bob x", "", `unknown option "--nonsense"`},
		{"--secret-fd x svc bob x", "", `--secret-fd "x" is no descriptor`},
		{"--timeout never svc bob x", "", `--timeout "never" is no time, such as 10 or 500ms`},
		{"--expect x svc bob x", "", `--expect "x" is not OPERATION=PAM_CODE`},
		{"--expect dance=7 svc bob x", "", `--expect "dance=7" names no call of libpam`},
		{"", "", "usage"},
	} {
		o, err := parse(strings.Fields(tt.args))
		got := ""
		if err == nil {
			if o.verbose {
				got = "v "
			}
			if len(o.items)+len(o.env) > 0 {
				got += fmt.Sprintf("%v%v ", o.items, o.env)
			}
			got += fmt.Sprintf("%s %s %v", o.service, o.user, o.ops)
		}
		if got != tt.want || err != nil && err.Error() != tt.err || err == nil && tt.err != "" {
			t.Errorf("parse(%q) = %q, %v; want %q, %q", tt.args, got, err, tt.want, tt.err)
		}
	}
}

func TestCodes(t *testing.T) {
	for i, name := range codeNames {
		if c, ok := codeOf(strings.ToLower(name)); !ok || int(c) != i || c.name() != name {
			t.Errorf("%s is %d, %v", name, c, ok)
		}
	}
	if int(maxCode) != len(codeNames)-1 {
		t.Errorf("libpam has %d codes, the table %d", maxCode+1, len(codeNames))
	}
	for _, s := range []string{"", "PAM_", "32", "-1", "x"} {
		if _, ok := codeOf(s); ok {
			t.Errorf("codeOf(%q)", s)
		}
	}
}

func FuzzOptions(f *testing.F) {
	f.Add("-v\x00-Ia=b\x00svc\x00bob\x00setcred(1)=0")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		if _, err := parse(slices.Clone(args)); err == nil && len(args) < 3 && !slices.Contains(args, "--help") && !slices.Contains(args, "--version") {
			t.Errorf("parse(%q) found three words", args)
		}
	})
}
