# gradingd. `make help` lists the targets; `make demo` and `make check` install what they need.
#
# CC, CFLAGS, LDFLAGS, PREFIX, SYSCONFDIR and DESTDIR are the caller's; our own flags are added.
# WERROR=1 turns warnings into errors, SANITIZE=address,undefined builds with sanitizers (into a
# directory of its own), V=1 shows the commands. A change of any of them compiles anew what it must.

PREFIX ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr/local /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3
# Most of them wait for something, so more than there are cores.
PYTEST_FLAGS ?= -q -n 4

B := build$(if $(SANITIZE),/sanitize)
# Programs and libraries as the table of rooms has them.
PROGRAMS := $(shell awk '$$1 == "program" { print $$2 }' src/ROOMS)
main_of = $(shell awk -v name=$1 '$$1 == "program" && $$2 == name { print $$3 }' src/ROOMS)
PACKAGES := $(shell awk '$$1 == "library" { print $$2 }' src/ROOMS)
VERSION := $(shell cat include/VERSION 2>/dev/null)

OUR_CFLAGS := -std=c11 -D_GNU_SOURCE -Iinclude -MMD -MP -pthread \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wpointer-arith \
	-DSYSCONFDIR='"$(SYSCONFDIR)"' -DVERSION='"$(VERSION)"' \
	-fstack-protector-strong -fPIE $(if $(WERROR),-Werror) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all \
		-DCHECK_INVARIANTS,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
# Tests may look into a room: "worker/claimer.h" is private to its room.
TEST_CFLAGS := $(OUR_CFLAGS) -Isrc -Itests/unit
OUR_LDFLAGS := -pie -Wl,-z,relro,-z,now -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE))
# Asked when first needed, and once.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES)))$(PKG_LIBS)
COMPILE = $(CC) $(CFLAGS) $(OUR_CFLAGS) $(PKG_CFLAGS)
COMPILE_TEST = $(CC) $(CFLAGS) $(TEST_CFLAGS) $(PKG_CFLAGS)
LINK = $(CC) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS)
LINK_TEST = $(COMPILE_TEST) $(OUR_LDFLAGS) $(LDFLAGS)

# The daemon's statements, whose table is made from what psql reads.
STATEMENTS := $(sort $(wildcard src/queue/sql/*.sql))

# Main functions stand apart; all else is in one archive, from which each program takes its part.
SOURCES := $(wildcard src/*/*.c src/*/*/*.c)
OBJECTS := $(SOURCES:src/%.c=$B/obj/%.o) $B/obj/queue/statement_table.o
MAINS := $(foreach program,$(PROGRAMS),$B/obj/$(call main_of,$(program)).o)
LIB_OBJECTS := $(filter-out $(MAINS),$(OBJECTS)) $B/embed_files.o
UNIT_TESTS := $(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/test_*.c))
SCRIPTS := .ci/run src/base/embed.sh src/queue/embed_sql.sh init/gradingd $(wildcard tests/*.sh) \
	tests/model/run.sh

Q := $(if $(V),,@)
# For targets that build on their way: on all cores, unless the caller said how many. Lines that
# begin with it want a +, since make does not see $(MAKE) in it.
PARALLEL_MAKE = $(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
MAKEFLAGS += --no-print-directory

.PHONY: all
all: $(PROGRAMS:%=$B/%)	## build gradingd and gradingctl (the default)

# The map tells check-rooms what was linked.
$(PROGRAMS:%=$B/%): $B/libgrading.a src/ROOMS
	@echo "  LINK  $@"
	$Q$(LINK) -Wl,-Map=$@.map -o $@ $(filter %.o,$^) $(filter %.a,$^) $(PKG_LIBS)
$(foreach program,$(PROGRAMS),$(eval $B/$(program): $B/obj/$(call main_of,$(program)).o))

$B/libgrading.a: $(LIB_OBJECTS)
	$Qrm -f $@ && ar rcs $@ $^

$B/obj/%.o: src/%.c $B/flags
	@echo "  CC    $<"
	@mkdir -p $(@D)
	$Q$(COMPILE) -c -o $@ $<

$B/obj/queue/statement_table.c: src/queue/embed_sql.sh $(STATEMENTS) \
		$(wildcard src/queue/sql/pieces/*.sql)
	@mkdir -p $(@D)
	$Qsh src/queue/embed_sql.sh c $(STATEMENTS) > $@.tmp && mv $@.tmp $@
$B/obj/queue/statement_table.o: $B/obj/queue/statement_table.c $B/flags
	$Q$(COMPILE) -c -o $@ $<

.PHONY: sql
sql:	## print the daemon's statements whole, for psql
	@sh src/queue/embed_sql.sh psql $(STATEMENTS)

# Migrations, rubric and prompt travel in the binary.
EMBEDDED := $(sort $(wildcard migrations/*.sql)) etc/rubric.conf etc/prompt.txt \
	etc/session-prompt.txt
$B/embed_files.c: src/base/embed.sh $(EMBEDDED) | $B/unit
	$Qsh src/base/embed.sh $(EMBEDDED) > $@.tmp && mv $@.tmp $@
$B/embed_files.o: $B/embed_files.c $B/flags
	$Q$(COMPILE) -c -o $@ $<

# What the objects were compiled with; they are compiled again when it changes.
FLAGS := $(CC) $(CFLAGS) $(OUR_CFLAGS)
ifneq ($(file <$B/flags),$(FLAGS))
.PHONY: $B/flags
endif
$B/flags: | $B/unit tools
	$(file >$@,$(FLAGS))

$B/unit $B/fuzz:
	$Qmkdir -p $@

.PHONY: tools
tools:
	@{ command -v $(firstword $(CC)) && $(PKG_CONFIG) --exists $(PACKAGES); } \
		>/dev/null 2>&1 || { \
		echo 'make: compiler or library missing; "make deps" installs it' >&2; exit 1; }

.PHONY: deps demo
deps:	## install what building needs; demo and check install what they need beyond that
	@sh tests/deps.sh build

# The demo never guesses a database from the environment: DATABASE= is on the command line, or not.
ifneq ($(origin DATABASE),command line)
unexport DATABASE
endif
demo:	## see it work: private Postgres, pool, ratings (or DATABASE=conninfo)
	@sh tests/deps.sh demo
	@+$(PARALLEL_MAKE) all
	@sh tests/demo.sh $B

.PHONY: check check-unit check-rooms check-docs check-model check-integration
check:	## install what is missing, build, run all tests
	@sh tests/deps.sh check
	@+$(PARALLEL_MAKE) all
	@+$(PARALLEL_MAKE) check-unit
	@$(MAKE) check-rooms
	@$(MAKE) check-docs
	@$(MAKE) check-model
	@$(MAKE) check-integration

$B/unit/%: tests/unit/%.c $B/libgrading.a
	@echo "  TEST  $<"
	$Q$(LINK_TEST) -o $@ $< $B/libgrading.a -lcmocka $(PKG_LIBS)

# The slowest takes seconds on an idle machine; one that hangs is told and ended.
UNIT_DEADLINE_S := 240
check-unit: $(UNIT_TESTS)	## unit tests
	$Qset -e; for t in $^; do timeout -k 5 $(UNIT_DEADLINE_S) $$t || { \
		[ $$? -ne 124 ] || echo "$$t hung: ended after $(UNIT_DEADLINE_S) s" >&2; \
		exit 1; }; done

check-rooms: all	## sources, objects and programs obey the table of rooms, src/ROOMS
	$Qsh tests/check-rooms.sh $B $(filter-out -MMD -MP,$(COMPILE))

check-docs: all	## manual pages, sample configuration and code agree
	$QBUILD=$B sh tests/check-docs.sh

# INSTANCE=old-cursors checks one of them, and tells what it finds.
check-model:	## the queue's protocol, in a model of it that spin searches
	$Qsh tests/model/run.sh $B/model $(INSTANCE)

# Preloaded where a test wants another clock, another boot, or a crash.
$B/drill/fakehost.so: tests/drill/fakehost.c $B/flags
	$Qmkdir -p $(@D)
	@echo "  LINK  $@"
	$Q$(CC) $(CFLAGS) -Wall -Wextra $(if $(WERROR),-Werror) -shared -fPIC $(LDFLAGS) -o $@ $<

check-integration: all $B/drill/fakehost.so	## tests against a Postgres of their own
	$QGRADINGD_BUILD=$B $(PYTHON) -B -m pytest -o cache_dir=$(CURDIR)/$B/pytest \
		$(PYTEST_FLAGS) tests/integration

# ROWS="janitor failover" selects faults by a part of their names.
.PHONY: drill
drill: all $B/drill/fakehost.so	## ten minutes of faults of all kinds, then everything is compared
	@sh tests/deps.sh check
	$QGRADINGD_BUILD=$B $(PYTHON) -B tests/drill/drill.py $(ROWS)

# Of an integration test with more cases than this, so many are run under sanitizers, which walk the
# same code in each; CASES= runs all. What bytes do to it is for the fuzzers.
CASES ?= 2

.PHONY: sanitize
sanitize:	## unit and integration tests under ASan and UBSan (CASES= for every case)
	@sh tests/deps.sh check
	@+$(PARALLEL_MAKE) SANITIZE=address,undefined all
	@+$(PARALLEL_MAKE) SANITIZE=address,undefined check-unit
	@CASES=$(CASES) $(MAKE) SANITIZE=address,undefined check-integration

# A build of its own, which counts the lines that run. FILES=1 tells of each file too.
COVERAGE = B=build/coverage CFLAGS="-O0 -g --coverage"

.PHONY: coverage
coverage:	## how many of the lines the unit tests run, by room (FILES=1: by file)
	@sh tests/deps.sh check
	@+$(PARALLEL_MAKE) $(COVERAGE) all
	@find build/coverage -name '*.gcda' -exec rm -f {} +
	@+$(PARALLEL_MAKE) $(COVERAGE) check-unit >build/coverage/unit.log 2>&1 || \
		{ cat build/coverage/unit.log; exit 1; }
	$QFILES=$(FILES) sh tests/coverage.sh build/coverage

# Fuzzers want clang and objects of their own. New inputs go to $B/corpus; the seeds stay.
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 20

$B/fuzz/%: tests/fuzz/%.c $B/libgrading.a | $B/fuzz
	@echo "  FUZZ  $<"
	$Q$(LINK_TEST) -fsanitize=fuzzer -o $@ $< $B/libgrading.a $(PKG_LIBS)

FUZZING = CC=clang B=build/fuzzing SANITIZE=fuzzer-no-link,address,undefined

.PHONY: check-fuzz build-fuzzers run-fuzzers
check-fuzz:	## every fuzzer for FUZZ_SECONDS (20), all at the same time
	@sh tests/deps.sh all
	@+$(PARALLEL_MAKE) $(FUZZING) build-fuzzers
	@$(MAKE) -j$(words $(FUZZERS)) $(FUZZING) run-fuzzers
build-fuzzers: $(FUZZERS:%=$B/fuzz/%)
run-fuzzers: $(FUZZERS:%=run-%)
run-fuzz_%: $B/fuzz/fuzz_%
	$Qsh tests/run-fuzzers.sh $B $(FUZZ_SECONDS) $*

# Benchmarks on a private Postgres; tables and plots go to $B/bench. BENCH="burndown latency"
# selects, BENCH_FULL=1 takes the long runs.
$B/bench/%: tests/bench/%.c $B/libgrading.a
	$Qmkdir -p $(@D)
	@echo "  BENCH $<"
	$Q$(LINK_TEST) -o $@ $< $B/libgrading.a $(PKG_LIBS)

.PHONY: bench
bench: all $B/bench/bare $B/bench/model	## measure beside a bare loop (BENCH="burndown" selects)
	$Q$(PYTHON) tests/bench/bench.py $(BENCH)

# Against other queues: PEERS="graphile-worker pg-boss" selects. npm is asked once, for what the
# lock file pins (Node.js too); the programs run beside it.
$B/bench/peers/installed: tests/bench/peers/package.json tests/bench/peers/package-lock.json
	$Qmkdir -p $(@D) && cp $^ $(@D)/
	@echo "  NPM   $(@D)"
	$Qcd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 \
		>npm.log 2>&1 || { \
		echo 'bench-peers: npm could not install the peers (it must reach its registry,' \
			'this once); see $(@D)/npm.log' >&2; exit 1; }
	$Qtouch $@

.PHONY: bench-peers
bench-peers: all	## measure beside queues for Node.js (PEERS="pg-boss bullmq" selects)
	@sh tests/deps.sh peers
	@$(MAKE) -s $B/bench/peers/installed
	$Qcp tests/bench/peers/*.js $B/bench/peers/
	$Q$(PYTHON) -B tests/bench/bench_peers.py $(PEERS)

.PHONY: lint run-tidy
lint:	## clang's warnings as errors, clang-tidy (.clang-tidy), shellcheck
	@sh tests/deps.sh all
	@+$(PARALLEL_MAKE) CC=clang B=build/clang WERROR=1 all $(UNIT_TESTS:$B/%=build/clang/%)
	@+$(PARALLEL_MAKE) CC=clang B=build/clang WERROR=1 run-tidy
	$Qshellcheck -S warning $(SCRIPTS)
run-tidy: $(SOURCES:src/%.c=$B/obj/%.tidy)
$B/obj/%.tidy: src/%.c $B/obj/%.o .clang-tidy
	@echo "  TIDY  $<"
	$Qclang-tidy --quiet $< -- $(OUR_CFLAGS) $(PKG_CFLAGS) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

# For editors and language servers: how each source is compiled.
comma := ,
json_text = $(subst ",\",$(subst \,\\,$1))
write_entry = $(file >>compile_commands.json,$(if $(filter $(firstword $(SOURCES)),$1),[,$(comma))\
	{"directory": "$(CURDIR)", "file": "$1", "command": "$(call json_text,$2 -c $1)"})

.PHONY: compdb
compdb:	## write compile_commands.json, for editors
	$(file >compile_commands.json)
	$(foreach source,$(SOURCES),$(call write_entry,$(source),$(COMPILE)))
	$(foreach source,$(wildcard tests/*/*.c),$(call write_entry,$(source),$(COMPILE_TEST)))
	$(file >>compile_commands.json,])
	@echo "  WROTE compile_commands.json"

# ---- installing ----

SBIN := $(DESTDIR)$(PREFIX)/sbin
BIN := $(DESTDIR)$(PREFIX)/bin
MAN := $(DESTDIR)$(PREFIX)/share/man
SHARE := $(DESTDIR)$(PREFIX)/share/gradingd
CONF := $(DESTDIR)$(SYSCONFDIR)/gradingd
MAN_PAGES := $(wildcard src/*.[1-8])
man_path = $(MAN)/man$(patsubst .%,%,$(suffix $1))/$(notdir $1)
# The init files are written for the default PREFIX and SYSCONFDIR.
SET_PATHS := sed -e 's|/usr/local/|$(PREFIX)/|g' -e 's|/etc/gradingd/|$(SYSCONFDIR)/gradingd/|g'

.PHONY: install uninstall
install: all	## install under DESTDIR and PREFIX; an existing configuration stays
	install -d $(SBIN) $(BIN) $(CONF) $(SHARE)/samples $(SHARE)/migrations $(SHARE)/init
	install $B/gradingd $(SBIN)/
	install $B/gradingctl $(BIN)/
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) $(call man_path,$(page)) &&) true
	install -m 644 etc/rubric.conf etc/prompt.txt etc/session-prompt.txt \
		etc/gradingd-minimal.conf $(SHARE)/
	install -m 644 etc/samples/*.json $(SHARE)/samples/
	install -m 644 migrations/*.sql $(SHARE)/migrations/
	$(SET_PATHS) init/gradingd >$(SHARE)/init/gradingd && chmod 755 $(SHARE)/init/gradingd
	$(SET_PATHS) init/gradingd.service >$(SHARE)/init/gradingd.service
	install -m 644 etc/gradingd.conf $(CONF)/gradingd.conf.sample
	[ -e $(CONF)/gradingd.conf ] || install -m 644 etc/gradingd.conf $(CONF)/gradingd.conf

uninstall:	## remove what install put there, except gradingd.conf
	rm -f $(SBIN)/gradingd $(BIN)/gradingctl
	rm -f $(foreach page,$(MAN_PAGES),$(call man_path,$(page)))
	rm -f $(CONF)/gradingd.conf.sample
	rm -rf $(SHARE)
	[ ! -e $(CONF)/gradingd.conf ] || echo "$(CONF)/gradingd.conf stays"

.PHONY: clean help
clean:	## remove build/
	rm -rf build

help:	## what to run first, and all targets
	@echo 'First day:'
	@echo '  make demo      watch it work: a Postgres of its own, a pool, ratings'
	@echo '  make           build; src/README.md says what lies where, src/ROOMS who uses whom'
	@echo '  make check     all tests, as before a push; tests/README.md: how to run one'
	@echo '  make compdb    for your editor; then read src/gradingd/main.c, and on from there'
	@echo
	@echo 'All targets:'
	@awk -F '\t## ' '/^[a-z-]+:.*\t## / { sub(/:.*/, "", $$1); \
		printf "  make %-18s %s\n", $$1, $$2 }' Makefile

-include $(wildcard $B/*.d $B/obj/*/*.d $B/obj/*/*/*.d $B/unit/*.d $B/bench/*.d $B/fuzz/*.d)
