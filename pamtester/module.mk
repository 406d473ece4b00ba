# pamtester: Go on libpam with C for the conversation; and the module that pamtester --trace puts before each real one, which is C
# and is loaded by pamtester alone.

# Where pamtester looks for that module when none is beside it.
PAM_TRACE := $(libdir)/pwb/pam_trace.so
PAMTESTER_LDFLAGS = -s -w -X main.version=$(VERSION) -X main.tracePath=$(PAM_TRACE)

build/pamtester: FORCE | deps-build build/pam_trace.so
	$(GO) build -ldflags '$(PAMTESTER_LDFLAGS)' -o $@ ./pamtester

build/pam_trace.so: pamtester/trace/pam_trace.c pamtester/trace/pam_trace.map pamtester/event.h pamtester/module.mk | deps-build
	@mkdir -p build
	$(CC) -shared -std=c11 $(C_WARNINGS) -fPIC -ffile-prefix-map=$(CURDIR)=. $(CFLAGS) $(C_HARDENING) \
		-Wl,-s,--build-id=none,--version-script=pamtester/trace/pam_trace.map -o $@ pamtester/trace/pam_trace.c -lpam

.PHONY: bench-pamtester
bench-pamtester:
	$(GO) test -run '^$$' -bench BenchmarkPamtester -benchtime 1x ./pamtester
