// Command demo shows the main job of pwb on this machine, in a private mount namespace, against an OpenID provider that
// pwb's authors did not write. It checks everything that it shows, and leaves nothing behind.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	build := flag.String("build", "build", "the folder that make build filled")
	source := flag.String("source", ".", "the repository")
	inside := flag.String("inside", "", "used by the program itself: the private folder, once in the namespace")
	serve := flag.Bool("serve", false, "keep serving at the end")
	flag.Parse()
	if err := run(*build, *source, *inside, *serve); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

func run(build, source, inside string, serve bool) error {
	if inside == "" {
		return enter(build, source, serve)
	}
	m, err := prepare(inside, source)
	if err != nil {
		return err
	}
	defer m.end()
	return show(m, serve)
}
