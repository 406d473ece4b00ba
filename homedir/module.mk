# homedir: what the room adds to the Makefile, which includes this.

HOMEDIR_MAN8    := homedir/pwb-mkhomedir.8
HOMEDIR_ODDJOB  := homedir/oddjob/oddjobd-mkhomedir.conf
# oddjobd runs this; mkhomedir_helper can be a link to it. Free of cgo, and of the rest of pwb: it starts in a third of the time.
HOMEDIR_PROGRAM := /usr/libexec/pwb/mkhomedir

build/mkhomedir: FORCE | deps-build
	CGO_ENABLED=0 $(GO) build -ldflags '-s -w -X main.pwbPath=$(bindir)/pwb' -o $@ ./mkhomedir

.PHONY: bench-homedir
bench-homedir:
	$(GO) test -run '^$$' -bench BenchmarkHomes -benchtime 11x ./homedir
