# gradingd. `make help` lists the targets.
#
# CC, CFLAGS, LDFLAGS, PREFIX, SYSCONFDIR and DESTDIR are the caller's; our own flags are added apart.
# WERROR=1 turns warnings into errors, SANITIZE=address,undefined builds with sanitizers (into a
# directory of its own), V=1 shows the commands.

PREFIX ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr/local /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3

B := build$(if $(SANITIZE),/sanitize)
PACKAGES := libpq libcurl json-c libconfig libcrypto
VERSION := $(shell cat include/VERSION 2>/dev/null)

OUR_CFLAGS := -std=c11 -D_GNU_SOURCE -Iinclude -MMD -MP -pthread \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wpointer-arith \
	-DSYSCONFDIR='"$(SYSCONFDIR)"' -DVERSION='"$(VERSION)"' \
	-fstack-protector-strong -fPIE $(if $(WERROR),-Werror) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all,-D_FORTIFY_SOURCE=2)
OUR_LDFLAGS := -pie -Wl,-z,relro,-z,now -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE))
PKG_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(PACKAGES))
PKG_LIBS = $(shell $(PKG_CONFIG) --libs $(PACKAGES))

# gradingctl's own files; all others but main.c are shared, or the daemon's.
CTL_SOURCES := $(wildcard src/gradingctl.c src/ctl*.c)
SOURCES := $(wildcard src/*.c)
LIB_OBJECTS := $(patsubst src/%.c,$B/%.o,$(filter-out src/main.c $(CTL_SOURCES),$(SOURCES))) $B/embed_files.o
CTL_OBJECTS := $(patsubst src/%.c,$B/%.o,$(CTL_SOURCES))
UNIT_TESTS := $(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/test_*.c))

# The supervisor's objects, which may name no libpq, libcurl or json-c function (check-supervisor).
SUPERVISOR := main daemon supervisor supervisor_children supervisor_orders restart child identity signals loop \
	wake scoreboard metrics breaker control control_socket commands show table notify config config_keys \
	config_value config_hint config_scan config_check config_show file mask log buf utf8 err clock

Q := $(if $(V),,@)

.PHONY: all
all: $B/gradingd $B/gradingctl

$B/gradingd: $B/main.o $B/libgrading.a
	@echo "  LINK  $@"
	$Q$(CC) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

$B/gradingctl: $(CTL_OBJECTS) $B/libgrading.a
	@echo "  LINK  $@"
	$Q$(CC) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

$B/libgrading.a: $(LIB_OBJECTS)
	$Qrm -f $@ && ar rcs $@ $^

$B/%.o: src/%.c include/VERSION | $B/unit
	@echo "  CC    $<"
	$Q$(CC) $(CFLAGS) $(OUR_CFLAGS) $(PKG_CFLAGS) -c -o $@ $<

# Migrations, rubric and prompt travel in the binary.
EMBEDDED := $(sort $(wildcard migrations/*.sql)) etc/rubric.conf etc/prompt.txt
$B/embed_files.c: src/embed.sh $(EMBEDDED) | $B/unit
	$Qsh src/embed.sh $(EMBEDDED) > $@.tmp && mv $@.tmp $@
$B/embed_files.o: $B/embed_files.c
	$Q$(CC) $(CFLAGS) $(OUR_CFLAGS) -c -o $@ $<

$B/unit $B/fuzz:
	$Qmkdir -p $@

$B/unit/%: tests/unit/%.c $B/libgrading.a
	@echo "  TEST  $<"
	$Q$(CC) $(CFLAGS) $(OUR_CFLAGS) $(PKG_CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $< $B/libgrading.a \
		-lcmocka $(PKG_LIBS)

.PHONY: check-unit
check-unit: $(UNIT_TESTS)
	$Qset -e; for t in $^; do $$t; done

# Fuzzers want clang and objects of their own. New inputs go to $B/corpus, the seeds stay as they are.
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 20

$B/fuzz/%: tests/fuzz/%.c $B/libgrading.a | $B/fuzz
	@echo "  FUZZ  $<"
	$Q$(CC) $(CFLAGS) $(OUR_CFLAGS) $(PKG_CFLAGS) -fsanitize=fuzzer $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $< \
		$B/libgrading.a $(PKG_LIBS)

.PHONY: check-fuzz run-fuzzers
check-fuzz:
	$Q$(MAKE) CC=clang B=build/fuzzing SANITIZE=fuzzer-no-link,address,undefined run-fuzzers
run-fuzzers: $(FUZZERS:%=$B/fuzz/%)
	$Qset -e; for f in $(FUZZERS:fuzz_%=%); do mkdir -p $B/corpus/$$f; \
		$B/fuzz/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -max_len=20000 -print_final_stats=1 \
			-artifact_prefix=$B/fuzz/ $B/corpus/$$f tests/fuzz/corpus/$$f >$B/fuzz/$$f.log 2>&1 || \
			{ tail -n 50 $B/fuzz/$$f.log; exit 1; }; \
		echo "fuzz_$$f: $$(sed -n 's/^stat::number_of_executed_units: *//p' $B/fuzz/$$f.log) inputs"; done

.PHONY: clean
clean:
	rm -rf build

-include $(wildcard $B/*.d $B/unit/*.d)
