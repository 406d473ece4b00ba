package worker

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/pwb-project/pwb/homedir"
)

// arguments is the module's line in the stack: what pam_mkhomedir(8) takes, and what libpam itself honours.
type arguments struct {
	skel   string
	empty  bool // copy nothing, whatever skel says
	umask  fs.FileMode
	masked bool        // umask is set
	home   fs.FileMode // of the home itself; 0 is what umask or login.defs say
	silent bool
	debug  bool
	bad    error // an argument about homes that is wrong: no home is made rather than an open one
}

// parseArguments reads the module's arguments. What it does not know it returns as complaints, for the log: an argument
// nobody understands changes nothing.
func parseArguments(args []string) (a arguments, complaints []string) {
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case name == "skel" && arg != name:
			a.skel, a.empty = value, value == "" // as pam_mkhomedir(8): no skeleton, not the default one
		case name == "umask":
			mask, err := homedir.ParseUmask(value)
			if err != nil {
				a.bad = fmt.Errorf("argument umask=%w", err)
			}
			a.umask, a.masked = mask, true
		case name == "home_mode":
			mode, err := homedir.ParseUmask(value)
			if err != nil {
				a.bad = fmt.Errorf("argument home_mode=%w", err)
			}
			a.home = mode | 0o700 // as everywhere: a home that its owner cannot use is none
		case arg == "silent":
			a.silent = true
		case arg == "debug":
			a.debug = true
		case arg == "use_first_pass", arg == "try_first_pass":
			// pam_get_authtok(3) reads them off the module's line itself.
		default:
			complaints = append(complaints, fmt.Sprintf("argument %q is not known to pam_pwb and changes nothing", arg))
		}
	}
	return a, complaints
}
