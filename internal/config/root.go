// Package config reads the files an operator writes: rserver.conf and openid-client-secret as Posit Workbench reads
// them, and pwb.conf, which is ours. It promises that each key has one meaning, that every mistake is found in one pass
// and named with its file and line, and that no secret is read from a file that others can read.
package config

import "path/filepath"

// Root is put before every absolute path that pwb reads or writes; the zero value is the machine itself. Tests and
// image builders set it with pwb --root DIR.
type Root string

// Join returns the absolute path name below the root.
func (r Root) Join(name string) string {
	return filepath.Join("/", string(r), name)
}
