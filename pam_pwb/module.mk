# pam_pwb.so: C on libc and libpam, nothing else.

SHIM_SOURCES := $(addprefix pam_pwb/shim/,pam_pwb.c reach.c spawn.c frame.c)
SHIM_HEADERS := $(addprefix pam_pwb/shim/,reach.h raw.h pam_pwb.map) pam_pwb/frame.h

C_WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2
C_HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wl,-z,relro,-z,now,-z,noexecstack
CFLAGS ?= -O2
SHIM_FLAGS = -std=c11 $(C_WARNINGS) -fPIC -fvisibility=hidden -ffile-prefix-map=$(CURDIR)=. \
	-DPWB_SOCKET='"$(PWB_SOCKET)"' -DPWB_WORKER='"$(PWB_WORKER)"'

build/pam_pwb.so: $(SHIM_SOURCES) $(SHIM_HEADERS) pam_pwb/module.mk | deps-build
	@mkdir -p build
	$(CC) -shared $(SHIM_FLAGS) $(CFLAGS) $(C_HARDENING) -Wl,-s,--build-id=none,-soname,pam_pwb.so \
		-Wl,--version-script=pam_pwb/shim/pam_pwb.map -o $@ $(SHIM_SOURCES) -lpam
