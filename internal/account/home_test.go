package account

import (
	"errors"
	"testing"
)

func TestCheckHome(t *testing.T) {
	for _, tt := range []struct {
		home, set string
		want      error
	}{
		{"/home/alice", "/home", nil},
		{"/home/alice/", "/home", nil},
		{"/data/people/alice", "/home", nil},
		{"/var/home/alice", "", nil},
		{"/var/lib/people/alice", "/var/lib/people/", nil},
		{"/var/lib/people/alice", "/home", ErrHome},
		{"/etc/systemd/system/ssh.service.d", "/home", ErrHome},
		{"/root", "/home", ErrHome},
		{"/root/.ssh", "/", ErrHome},
		{"/usr", "/home", ErrHome},
		{"/usrhome/alice", "/home", nil},
		{"/home/../etc/cron.d", "/home", ErrHome},
		{"/home//alice", "/home", ErrHome},
		{"/", "/home", ErrHome},
		{"home/alice", "/home", ErrHome},
		{"", "/home", ErrHome},
	} {
		if err := CheckHome(tt.home, tt.set); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("CheckHome(%q, %q) = %v, want %v", tt.home, tt.set, err, tt.want)
		}
	}
}
