package worker

import (
	"context"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/passwd"
)

// Homes makes homes for sessions. The zero value makes none of its own choice: skeleton and modes are the machine's.
type Homes struct {
	LoginDefs string // "" is /etc/login.defs
	Warn      func(string)
}

// make sees to it that the account has a home, by the arguments of the module's line.
func (h Homes) make(ctx context.Context, entry passwd.Entry, args arguments) (homedir.Result, error) {
	opts := homedir.Options{Skel: args.skel, Empty: args.empty, Warn: h.Warn}
	if args.masked {
		opts.Modes = homedir.WithUmask(args.umask)
	} else {
		file := h.LoginDefs
		if file == "" {
			file = "/etc/login.defs"
		}
		opts.Modes = homedir.LoadModes(file, h.Warn)
	}
	if args.home != 0 {
		opts.Modes.Home = args.home
	}
	return homedir.Make(ctx, entry.Home, homedir.Owner{UID: uint32(entry.UID), GID: uint32(entry.GID)}, opts)
}
