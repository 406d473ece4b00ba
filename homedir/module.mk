# homedir: what the room adds to the Makefile, which includes this.

HOMEDIR_MAN8    := homedir/pwb-mkhomedir.8
HOMEDIR_ODDJOB  := homedir/oddjob/oddjobd-mkhomedir.conf
# oddjobd runs pwb by this name; the link leads to $(bindir)/pwb.
HOMEDIR_LINK    := /usr/libexec/pwb/mkhomedir

.PHONY: bench-homedir
bench-homedir:
	$(GO) test -run '^$$' -bench BenchmarkHomes -benchtime 11x ./homedir
