package homedir_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/pwb-project/pwb/homedir"
)

// A login makes the home that login.defs(5) asks for, and goes on when it is whole.
func ExampleMake() {
	opts := homedir.Options{Warn: func(text string) { log.Print(text) }}
	opts.Modes = homedir.LoadModes("/etc/login.defs", opts.Warn)
	result, err := homedir.Make(context.Background(), "/home/alice", homedir.Owner{UID: 4711, GID: 4711}, opts)
	switch {
	case errors.Is(err, homedir.ErrBusy):
		log.Print("another login is at it: try again")
	case err != nil:
		log.Print(err)
	case result.Made:
		log.Printf("%s: %d entries", result.Path, result.Entries)
	}
}

// What would be copied can be counted first, by anybody who may read the skeleton.
func ExampleMake_dryRun() {
	skel, err := os.MkdirTemp("", "skel")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(skel)
	err = os.WriteFile(filepath.Join(skel, ".profile"), []byte("umask 077\n"), 0o644)
	if err != nil {
		log.Fatal(err)
	}
	opts := homedir.Options{Skel: skel, DryRun: true}
	result, err := homedir.Make(context.Background(), "/srv/people/alice", homedir.Owner{UID: 4711, GID: 4711}, opts)
	fmt.Println(result.Made, result.Entries, result.Bytes, err)
	// Output: false 1 10 <nil>
}

// Octal digits, as people write them.
func ExampleParseUmask() {
	for _, s := range []string{"0027", "77", "0x3f"} {
		umask, err := homedir.ParseUmask(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%04o\n", homedir.WithUmask(umask).Home)
	}
	// Output:
	// 0750
	// 0700
	// "0x3f": not an octal number from 0 to 0777
}
