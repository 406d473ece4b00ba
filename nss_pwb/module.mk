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

# Beside files, libnss-cache, libnss-extrausers and nscd in one run, by the bench that lives beside the project.
.PHONY: bench-nss
NSS_BENCH ?= $(KITS)/../bench/nss
NSS_SIZES ?= 1000 100000 1000000
bench-nss: build
	@mkdir -p build
	printf 'mkdir -p /var/lib/pwb-nss && %s snapshot write --passwd $$D/passwd --group $$D/group && LIB=%s NAME=pwb\n' \
		'$(CURDIR)/build/pwb' '$(CURDIR)/build/libnss_pwb.so.2' >build/nss-peer.sh
	EXTRA='pwb=$(CURDIR)/build/nss-peer.sh' R=3 $(NSS_BENCH)/run.sh -n '$(NSS_SIZES)' -p 'pwb files cache extrausers nscd'
