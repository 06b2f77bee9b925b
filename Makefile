# make            module, backend and unit tests into build/
# make DOMAIN=dir            backend and unit tests with another domain, into build/domains/NAME (docs/your-domain.md)
# make module NGX_SRC=dir    the module, built against another nginx source tree
# make lint       clang-tidy, cppcheck, shellcheck, form and layers (lint/lint.sh); any finding is an error
# SANITIZE=1      everything with AddressSanitizer and UBSan, into build-sanitize/

SANITIZE ?=
ifeq ($(SANITIZE),)
BUILD   := build
SANFLAGS :=
else
BUILD   := build-sanitize
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif

# Debian's hardening flags (dpkg-buildflags, hardening=+all), for the module too. FORTIFY needs an optimizing compiler
# and replaces functions that AddressSanitizer intercepts.
MACHINE := $(shell $(CC) -dumpmachine)
HARDEN  := -fstack-protector-strong -fstack-clash-protection -Wformat -Werror=format-security \
           $(if $(filter x86_64-%,$(MACHINE)),-fcf-protection) $(if $(filter aarch64-%,$(MACHINE)),-mbranch-protection=standard)
ifeq ($(SANITIZE)$(findstring -O0,$(CFLAGS)),)
HARDEN  += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
HARDEN_LD := -Wl,-z,relro -Wl,-z,now -Wl,--build-id=sha1

# The domain: its folder, its name, and the folder of its programs. A folder outside the clone has an absolute path.
DOMAIN ?= backend/shop
override DOMAIN := $(patsubst $(CURDIR)/%,%,$(abspath $(DOMAIN)))
NAME   := $(notdir $(DOMAIN))
OUT    := $(BUILD)$(if $(filter-out backend/shop,$(DOMAIN)),/domains/$(NAME))
ifeq ($(wildcard $(DOMAIN)/domain.c),)
$(error DOMAIN is "$(DOMAIN)"; it must be a folder with a domain.c, and no blank in its path)
endif
# Two folders of one name have one output folder, which is of the last one alone.
ifneq ($(DOMAIN),backend/shop)
$(shell mkdir -p $(OUT); [ "$$(cat $(OUT)/folder 2>/dev/null)" = "$(abspath $(DOMAIN))" ] || \
    { rm -rf $(OUT)/*; echo "$(abspath $(DOMAIN))" >$(OUT)/folder; })
endif

NGX_SRC ?= /usr/share/nginx/src
PKGS    := libevent libevent_openssl libcurl jansson hiredis libpq libseccomp cmocka openssl zlib
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS_ALL = -I. -Ingx_module -Ibackend $(addprefix -I,$(filter-out backend/,$(dir $(DOMAIN)))) -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS))
CFLAGS_ALL = -std=gnu11 $(CFLAGS) $(HARDEN) -fPIE $(WARN) $(SANFLAGS) -MMD -MP
LDFLAGS_ALL = -pie $(HARDEN_LD) $(SANFLAGS) $(LDFLAGS)
LIBS    = $(shell pkg-config --libs libevent libevent_openssl libcurl jansson hiredis libpq libseccomp openssl zlib) -lpthread -lm

.PHONY: all module backend unit bench compile-flags lint clean
all: module backend unit bench

# --- the edge module, by nginx's own build ---------------------------------

MODULE := $(BUILD)/ngx_http_weir_module.so
MODULE_SRC := config config.make scripts/build/embed-page.sh $(wildcard ngx_module/dashboard/page/*) \
              $(shell find common ngx_module t/edge/redis/probe t/edge/cache/probe t/edge/export/probe -name '*.[ch]')

module: $(MODULE)

# scripts/build/module.sh records the tree that it configured; another tree is configured again.
ifneq ($(NGX_SRC),$(firstword $(shell cat $(BUILD)/nginx/configured 2>/dev/null)))
.PHONY: $(MODULE)
endif

$(MODULE): $(MODULE_SRC) scripts/build/module.sh Makefile
	scripts/build/module.sh "$(NGX_SRC)" "$(BUILD)" "$(strip $(HARDEN) $(SANFLAGS))" "$(strip $(HARDEN_LD) $(SANFLAGS))"

# --- the backend ------------------------------------------------------------

COMMON_SRC  := $(wildcard common/*.c common/*/*.c common/*/*/*.c)
DOMAIN_SRC  := $(shell find $(DOMAIN) -name '*.c' -not -path '*/t/*')
BACKEND_SRC := $(filter-out backend/sim/% backend/shop/%,$(shell find backend -name '*.c' -not -path 'backend/ctl/*')) \
               $(filter-out $(DOMAIN)/ctl.c,$(DOMAIN_SRC))
CTL_SRC     := $(wildcard backend/ctl/*.c backend/ctl/*/*.c) $(DOMAIN)/ctl.c
SIM_SRC     := $(wildcard backend/sim/*.c) backend/http/listen.c backend/http/signature.c \
               backend/log/alloc.c backend/log/log.c backend/log/clock.c $(wildcard backend/tls/*.c) \
               backend/metrics/series.c backend/metrics/families.c
OBJ = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# Migrations and functions are compiled in: each folder becomes $(BUILD)/FOLDER.c. A folder's time changes when a file is added or removed.
SQL     := backend/db/sql backend/audit/sql backend/events/sql backend/http/sql backend/outbound/sql $(DOMAIN)/sql
SQL_SRC := $(SQL:%=$(BUILD)/%.c)

.SECONDEXPANSION:
$(SQL_SRC): $(BUILD)/%.c: scripts/build/embed-sql.sh $$(shell find $$*)
	@mkdir -p $(@D)
	scripts/build/embed-sql.sh $* >$@.new
	mv $@.new $@

# The template of weirctl new-domain is compiled in, too.
TEMPLATE     := backend/ctl/new-domain/template
TEMPLATE_SRC := $(BUILD)/$(TEMPLATE).c

$(TEMPLATE_SRC): scripts/build/embed-template.sh $(shell find $(TEMPLATE))
	@mkdir -p $(@D)
	scripts/build/embed-template.sh $(TEMPLATE) >$@.new
	mv $@.new $@

backend: $(OUT)/weir-backend $(OUT)/weirctl $(BUILD)/weir-payments-sim

$(OUT)/weir-backend: $(call OBJ,$(BACKEND_SRC) $(SQL_SRC) $(COMMON_SRC))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(OUT)/weirctl: $(call OBJ,$(CTL_SRC) $(TEMPLATE_SRC) $(filter-out backend/main.c,$(BACKEND_SRC)) $(SQL_SRC) $(COMMON_SRC))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(BUILD)/weir-payments-sim: $(call OBJ,$(SIM_SRC) $(COMMON_SRC))
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

# --- unit tests: t/unit/FOLDER/NAME_test.c becomes $(BUILD)/unit/NAME_test ---
#
# Those of the domain, t/NAME_test.c in its folder, become $(OUT)/unit/NAME_test.
# A test lists the sources it needs in its first lines: "// needs: a.c b.c".

UNIT_SRC    := $(shell find t/unit -name '*_test.c')
UNIT        := $(patsubst %.c,$(BUILD)/unit/%,$(notdir $(UNIT_SRC)))
DOMAIN_UNIT := $(patsubst $(DOMAIN)/t/%.c,$(OUT)/unit/%,$(wildcard $(DOMAIN)/t/*_test.c))

unit: $(UNIT) $(DOMAIN_UNIT) $(BUILD)/migrate-folders

needs = $(call OBJ,$(shell sed -n 's,^// needs: ,,p' $(1).c))

unit_src = $(filter %/$(1).c,$(UNIT_SRC))

$(UNIT): $(BUILD)/unit/%: $$(call OBJ,$$(call unit_src,$$*)) $$(call needs,$$(basename $$(call unit_src,$$*)))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) $(shell pkg-config --libs cmocka) -lm

$(DOMAIN_UNIT): $(OUT)/unit/%: $(BUILD)/obj/$(DOMAIN)/t/%.o $$(call needs,$(DOMAIN)/t/$$*)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) $(shell pkg-config --libs cmocka) -lm

# For t/backend/db/migrate*.t: weir-backend migrate, reading folders instead of the migrations that are compiled in.
$(BUILD)/migrate-folders: $(call OBJ,t/lib/migrate-folders.c backend/db/migrate.c backend/db/settings.c \
                            backend/log/alloc.c backend/log/clock.c backend/log/log.c $(COMMON_SRC))
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# --- programs for benchmarks ---------------------------------------------------

bench: $(BUILD)/bench-invalidate $(BUILD)/bench-fsync $(BUILD)/bench-socket $(BUILD)/bench-paced

$(BUILD)/bench-invalidate: $(call OBJ,bench/tools/invalidate.c)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs hiredis) -lpthread

$(BUILD)/bench-fsync: $(call OBJ,bench/tools/fsync.c)
	$(CC) $(LDFLAGS_ALL) -o $@ $^

$(BUILD)/bench-socket: $(call OBJ,bench/tools/socket.c)
	$(CC) $(LDFLAGS_ALL) -o $@ $^

$(BUILD)/bench-paced: $(call OBJ,bench/tools/paced.c)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lm

# What of the compiler's flags clang-tidy must know.
compile-flags:
	@echo $(CPPFLAGS_ALL) -std=gnu11

lint: module backend
	lint/lint.sh

clean:
	rm -rf build build-sanitize

.SECONDARY:
-include $(shell [ -d $(BUILD)/obj ] && find $(BUILD)/obj -name '*.d')
