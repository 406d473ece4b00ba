# The NSS module. Everything that it promises is compiled in: nothing at run time can move it.

# The lowest id that exists for a reader.
PWB_MIN_ID ?= 1000

NSS_SOURCES := nss_pwb/nss_pwb.c nss_pwb/view.c nss_pwb/snapshot.c
NSS_CFLAGS  := -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -fno-plt -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wno-missing-prototypes -DPWB_SNAPSHOT='"$(PWB_SNAPSHOT)"' -DPWB_MIN_ID=$(PWB_MIN_ID)
NSS_LDFLAGS := -shared -Wl,-soname,libnss_pwb.so.2 -Wl,--version-script,nss_pwb/nss_pwb.map -Wl,-z,relro,-z,now,-z,nodelete,-z,noexecstack \
	-Wl,--no-undefined -Wl,--build-id=none
NSS_MODULE  := $(libdir)/libnss_pwb.so.2

build/libnss_pwb.so.2: $(NSS_SOURCES) nss_pwb/snapshot.h nss_pwb/view.h nss_pwb/nss_pwb.map nss_pwb/module.mk | deps-build
	@mkdir -p build
	$(CC) -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong $(NSS_CFLAGS) $(NSS_LDFLAGS) -o $@ $(NSS_SOURCES)

build/asan/libnss_pwb.so.2: $(NSS_SOURCES) nss_pwb/snapshot.h nss_pwb/view.h nss_pwb/nss_pwb.map nss_pwb/module.mk | deps-build
	@mkdir -p build/asan
	$(CC) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined $(NSS_CFLAGS) $(filter-out -Wl$(comma)--no-undefined,$(NSS_LDFLAGS)) -o $@ $(NSS_SOURCES)

# Beside files, libnss-cache, libnss-extrausers and nscd in one run. Their packages are taken apart here, not installed.
.PHONY: bench-nss peers
bench-nss: build peers
	$(GO) test -timeout 30m -run '^$$' -bench BenchmarkNSS -benchtime 1x ./internal/hosttest
	$(GO) test -timeout 30m -run '^$$' -bench 'BenchmarkVisible|BenchmarkOneChange' -benchtime 1000x ./internal/provision ./internal/snapshot

peers: build/peers/ready
build/peers/ready:
	@./deps peers build/peers && touch $@
