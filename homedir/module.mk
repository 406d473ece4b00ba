# homedir: what the room adds to the Makefile, which includes this.

HOMEDIR_MAN8    := homedir/pwb-mkhomedir.8
HOMEDIR_ODDJOB  := homedir/oddjob/oddjobd-mkhomedir.conf
# oddjobd runs the first; mkhomedir_helper can be a link to it. It asks the resident worker, in C, because a program of Go takes
# longer to start than a small home to make; without a worker it becomes the second, which is free of cgo and of the rest of pwb.
HOMEDIR_PROGRAM := /usr/libexec/pwb/mkhomedir
HOMEDIR_ALONE   := /usr/libexec/pwb/homemaker

HOMEDIR_SOURCES := mkhomedir/front/mkhomedir.c pam_pwb/shim/reach.c pam_pwb/shim/frame.c

build/mkhomedir: $(HOMEDIR_SOURCES) pam_pwb/shim/reach.h pam_pwb/frame.h homedir/module.mk pam_pwb/module.mk | deps-build
	@mkdir -p build
	$(CC) $(SHIM_FLAGS) -DPWB_HOMEMAKER='"$(HOMEDIR_ALONE)"' $(CFLAGS) $(C_HARDENING) -Wl,-s,--build-id=none -o $@ $(HOMEDIR_SOURCES)

build/homemaker: FORCE | deps-build
	CGO_ENABLED=0 $(GO) build -ldflags '-s -w -X main.pwbPath=$(bindir)/pwb' -o $@ ./mkhomedir

.PHONY: bench-homedir
bench-homedir:
	$(GO) test -run '^$$' -bench BenchmarkHomes -benchtime 11x ./homedir
