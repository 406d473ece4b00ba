package account

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// ErrHome is in the error of a path that no account of pwb's making has its home at.
var ErrHome = errors.New("not a place for a home")

// systemFolders are where programs find their orders and themselves: whoever owned a folder there would soon be root. The name of
// a home comes from a database of a user who faces the network, and root makes it.
var systemFolders = strings.Fields("/bin /boot /dev /etc /lib /lib32 /lib64 /libx32 /proc /root /run /sbin /sys /usr /var")

// CheckHome refuses a path that is not plain, or is among the system's own. What is below set, the folder that the machine has set
// aside for homes, is always right.
func CheckHome(home, set string) error {
	switch {
	case home == "" || home[0] != '/' || path.Clean(home) != strings.TrimRight(home, "/"):
		return fmt.Errorf("home %q is no plain absolute path: %w", home, ErrHome)
	case set != "" && strings.HasPrefix(home, path.Clean(set)+"/"), strings.HasPrefix(home, "/var/home/"):
		return nil
	}
	for _, top := range systemFolders {
		if home == top || strings.HasPrefix(home, top+"/") {
			return fmt.Errorf("home %q is among the system's own files; if homes are there, set user-homedir-path: %w", home, ErrHome)
		}
	}
	return nil
}
