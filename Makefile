# make            what is needed to run, built into build/
# make demo       shows the main job on this machine, in a private namespace; leaves nothing behind
# make test       passes every test, the privileged ones included when run as root
# make install    into DESTDIR, where Debian and Red Hat expect things

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:

GO       ?= go
CC       ?= cc
INSTALL  ?= install
DESTDIR  ?=
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# The paths that the PAM and the NSS module have compiled in. They are build variables so that a test, an image or a distribution can
# move them; nothing at run time can, not even the environment of root.
PWB_SOCKET ?= /run/pwb/worker.sock
PWB_WORKER ?= /usr/bin/pwb
PWB_SNAPSHOT ?= /var/lib/pwb-nss/users.snap

bindir    ?= /usr/bin
mandir    ?= /usr/share/man
docdir    ?= /usr/share/doc/pwb
unitdir   ?= /usr/lib/systemd/system
sysusers  ?= /usr/lib/sysusers.d
tmpfiles  ?= /usr/lib/tmpfiles.d
multiarch := $(shell $(CC) -print-multiarch 2>/dev/null)
libdir    ?= $(if $(multiarch),/usr/lib/$(multiarch),/usr/lib64)
pamdir    ?= $(libdir)/security

# urfave_cli_no_docs drops a markdown writer that no command of ours calls: 0.6 ms of every start.
GOTAGS  := urfave_cli_no_docs
export GOFLAGS := -trimpath -buildvcs=false -tags=$(GOTAGS)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.socketPath=$(PWB_SOCKET) -X main.snapshotPath=$(PWB_SNAPSHOT)

comma := ,

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# A number of inputs, not a time: at the end of a time the fuzzer can call a worker that is busy a failure (golang/go#75804).
FUZZTIME    ?= 50000x
KITS        ?= ../shared/kits

.PHONY: all build
all: build

include pam_pwb/module.mk
include pamtester/module.mk
include homedir/module.mk
include nss_pwb/module.mk

build: build/pam_pwb.so build/libnss_pwb.so.2 build/pwb build/mkhomedir build/homemaker build/pamtester build/pam_trace.so

build/pwb: FORCE | deps-build
	$(GO) build -ldflags '$(LDFLAGS)' -o $@ ./pwb

# --- what the machine must have -------------------------------------------------------------------------------------
.PHONY: deps deps-build deps-test
deps: deps-test
deps-build:
	@./deps build
deps-test:
	@./deps test

# --- proof ----------------------------------------------------------------------------------------------------------
.PHONY: demo run test test-browser test-go test-asan lint fuzz bench kits
demo: build
	@GOFLAGS=-trimpath $(GO) run -C demo . -build "$(CURDIR)/build" -source "$(CURDIR)"

# The same, and then the sign-in page stays open at http://127.0.0.1:8787 until Ctrl-C.
run: build
	@GOFLAGS=-trimpath $(GO) run -C demo . -build "$(CURDIR)/build" -source "$(CURDIR)" -serve

test: deps-test build lint test-go test-asan test-browser fuzz

# A real browser against a real provider, in the demonstration's module and namespace; screenshots in build/screenshots.
AXE := axe-core@4.14.1
test-browser: build build/axe.min.js
	GOFLAGS=-trimpath PWB_SOURCE=$(CURDIR) $(GO) test -C demo -count=1 -timeout 10m ./...

build/axe.min.js: | deps-test
	mkdir -p build/axe && cd build/axe && npm pack --silent $(AXE) && tar -xzf axe-core-*.tgz && cp package/axe.min.js ../axe.min.js

# The random stacks start a thousand processes of one thread each, in which there is nothing to race and which the detector makes slow.
test-go: build
	$(GO) test -vet=off -trimpath=false -race -timeout 20m -skip '^TestTraceFollowsLibpam$$' ./...
	$(GO) test -vet=off -run '^TestTraceFollowsLibpam$$' ./pamtester
	$(GO) test -vet=off -run TestAStormOfFirstLogins ./internal/provision
	GOFLAGS=-trimpath $(GO) vet -C demo ./...

# The C half's frames under the address and undefined-behaviour sanitizers; the module's own tests build it so by themselves.
test-asan:
	CGO_CFLAGS='-O1 -g -fsanitize=undefined -fno-sanitize-recover=all' CGO_LDFLAGS=-fsanitize=undefined $(GO) test -vet=off -asan -skip '^TestTraceFollowsLibpam$$' ./pam_pwb/... ./pamtester
	PWB_HOSTILE_SECONDS=20 $(GO) test -vet=off -count=1 -run TestFilesThatLie ./internal/snapshot

# Without -trimpath: with it the build cache names the folder of another clone for cgo's files, and vet opens them, there or not. With
# -race, so that what both look at is what test-go has compiled, or will.
lint: deps-test
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet -trimpath=false -race ./...
	$(GO) run -exec 'env "GOFLAGS=-race -tags=$(GOTAGS)"' $(STATICCHECK) ./...

# Each package is compiled once for all its targets; what they find is kept where go test keeps it. Where SQLite is linked, -fuzz would
# compile all of that anew to count its branches too, for two minutes of a processor; there ours alone are counted.
MODULE := github.com/pwb-project/pwb
fuzz:
	@for folder in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		counted='-fuzz=.'; \
		! $(GO) list -deps -test $$folder | grep -q '^modernc.org/sqlite$$' || counted='-gcflags=$(MODULE)/...=-d=libfuzzer'; \
		$(GO) test -vet=off -c "$$counted" -ldflags '-s -w' -o build/fuzz.test $$folder; \
		found=$$($(GO) env GOCACHE)/fuzz/$$($(GO) list $$folder); \
		for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' $$folder/*_test.go | cut -c6-); do \
			echo "fuzz $$folder $$name"; \
			(cd $$folder && $(CURDIR)/build/fuzz.test -test.run '^$$' -test.fuzz "^$$name\$$" -test.fuzztime $(FUZZTIME) -test.fuzzcachedir $$found); \
		done; \
	done

bench: build bench-homedir bench-nss bench-pamtester
	$(GO) test -run '^$$' -bench BenchmarkTransaction -benchtime 200x ./internal/hosttest
	$(GO) test -run '^$$' -bench BenchmarkSCIM -benchtime 1x -timeout 30m ./internal/hosttest
	$(GO) test -run '^$$' -bench Filter ./internal/scim

# Black-box checks that live beside the project, not in it.
kits: build build/asan/libnss_pwb.so.2
	PWB_OIDC_KIT=$(abspath $(KITS))/oidc $(GO) test -count=1 -run TestKit ./internal/ticket
	PWB_KITS=$(abspath $(KITS)) PWB_BUILD=$(CURDIR)/build $(GO) test -count=1 -timeout 30m -v -run TestKit ./internal/hosttest
	$(KITS)/homedir/run.sh '$(CURDIR)/build/pwb mkhomedir --umask "$$UMASK" --skel "$$SKEL" "$$USER"'
	$(KITS)/pamtester/run.sh $(CURDIR)/build/pamtester
	$(KITS)/nss/run.sh -l build/libnss_pwb.so.2 -a build/asan/libnss_pwb.so.2 -n pwb -s $(PWB_SNAPSHOT) \
		-i '$(CURDIR)/build/pwb snapshot write --passwd "$$PASSWD" --group "$$GROUP"'

# --- installing -----------------------------------------------------------------------------------------------------
.PHONY: install install-files clean FORCE
install: build install-files

# Only copies what is built: the demonstration runs it where building would be out of place.
install-files:
	$(INSTALL) -d $(DESTDIR)$(bindir) $(DESTDIR)$(pamdir) $(DESTDIR)$(unitdir) $(DESTDIR)$(sysusers) $(DESTDIR)$(tmpfiles) \
		$(DESTDIR)$(docdir) $(DESTDIR)$(dir $(PAM_TRACE)) $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(mandir)/man5 $(DESTDIR)$(mandir)/man8
	$(INSTALL) -m 0755 build/pwb build/pamtester $(DESTDIR)$(bindir)
	$(INSTALL) -m 0644 build/pam_pwb.so $(DESTDIR)$(pamdir)
	$(INSTALL) -m 0644 build/libnss_pwb.so.2 $(DESTDIR)$(libdir)
	$(INSTALL) -m 0644 build/pam_trace.so $(DESTDIR)$(PAM_TRACE)
	sed 's,/usr/bin/pwb,$(bindir)/pwb,' pwb/systemd/pwb-worker.service | $(INSTALL) -m 0644 /dev/stdin $(DESTDIR)$(unitdir)/pwb-worker.service
	sed 's,/run/pwb/worker.sock,$(PWB_SOCKET),' pwb/systemd/pwb-worker.socket | $(INSTALL) -m 0644 /dev/stdin $(DESTDIR)$(unitdir)/pwb-worker.socket
	sed 's,/usr/bin/pwb,$(bindir)/pwb,' pwb/systemd/pwb-serve.service | $(INSTALL) -m 0644 /dev/stdin $(DESTDIR)$(unitdir)/pwb-serve.service
	$(INSTALL) -m 0644 pwb/systemd/pwb-serve.socket $(DESTDIR)$(unitdir)
	$(INSTALL) -m 0644 pwb/systemd/sysusers.conf $(DESTDIR)$(sysusers)/pwb.conf
	$(INSTALL) -d $(DESTDIR)/etc/logrotate.d
	$(INSTALL) -m 0644 pwb/logrotate.conf $(DESTDIR)/etc/logrotate.d/pwb
	$(INSTALL) -m 0644 pwb/systemd/tmpfiles.conf $(DESTDIR)$(tmpfiles)/pwb.conf
	$(INSTALL) -m 0644 pamtester/pamtester.1 $(DESTDIR)$(mandir)/man1
	$(INSTALL) -m 0644 internal/config/pwb.conf.5 $(DESTDIR)$(mandir)/man5
	$(INSTALL) -m 0644 pam_pwb/pam_pwb.8 pwb/pwb.8 nss_pwb/libnss_pwb.8 $(HOMEDIR_MAN8) $(DESTDIR)$(mandir)/man8
	$(INSTALL) -m 0644 README.md CHANGELOG.md pam_pwb/PROTOCOL nss_pwb/FORMAT $(HOMEDIR_ODDJOB) $(DESTDIR)$(docdir)
	$(INSTALL) -d $(DESTDIR)$(dir $(HOMEDIR_PROGRAM))
	$(INSTALL) -m 0755 build/mkhomedir $(DESTDIR)$(HOMEDIR_PROGRAM)
	$(INSTALL) -m 0755 build/homemaker $(DESTDIR)$(HOMEDIR_ALONE)

FORCE:
clean:
	rm -rf build
