package main

/*
#include "library.h"
#include <stdlib.h>
*/
import "C"

import (
	"cmp"
	"slices"
	"strings"
	"unsafe"
)

// library is what --trace must know of the libpam that is loaded, as libraries read the same files in different ways.
type library struct {
	folders   []string // of services, the first first
	longLines bool     // since 1.6: lines.go; and files include each other to maxLevel only
	atInclude bool     // Debian's know @include, to others it is a bad type
	isa       string   // what stands for $ISA in the path of a module
}

// loadedLibrary looks at what is in libpam's image.
func loadedLibrary() *library {
	return &library{
		folders:   systemFolders(),
		longLines: libraryText("maximum level of inclusions reached", 0) != "",
		atInclude: libraryText("@include", 0) != "",
		isa:       cmp.Or(libraryText("/security", 0), upstreamISA()),
	}
}

// upstreamISA is the folder of modules, seen from any that is as deep: the usual one, of which up to 1.5 a compiler leaves no text.
func upstreamISA() string {
	libdir := strings.TrimSuffix(libraryText("/security/", 0), "/security/")
	return "../../" + libdir[strings.LastIndexByte(libdir, '/')+1:] + "/security"
}

// libraryFolders are where libpam looks when it is given no folder: two that every one has, and the vendor's where one was built in.
func libraryFolders() []string {
	folders := []string{"/etc/pam.d", "/usr/lib/pam.d"}
	for n := 0; ; n++ {
		path := libraryText("/pam.d/%s", n)
		if path == "" {
			return folders
		}
		if dir := strings.TrimSuffix(path, "/%s"); dir[0] == '/' && !slices.Contains(folders, dir) {
			folders = append(folders, dir)
		}
	}
}

// libraryText is the n-th text in libpam that ends so, "" when there are no more.
func libraryText(end string, n int) string {
	c := C.CString(end)
	defer C.free(unsafe.Pointer(c))
	return C.GoString(C.library_text(c, C.int(n)))
}
