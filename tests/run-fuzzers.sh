#!/bin/sh
# Runs each fuzzer for a while. A finding leaves the input behind; a run that ends badly without one
# (the machine ran out of something) is made once more before it counts.
#
# usage: tests/run-fuzzers.sh BUILD_DIRECTORY SECONDS NAME...
set -eu
build=$1 seconds=$2
shift 2

run() {
	mkdir -p "$build/corpus/$1"
	"$build/fuzz/fuzz_$1" -max_total_time="$seconds" -max_len=20000 -print_final_stats=1 \
		-artifact_prefix="$build/fuzz/finding-$1-" \
		"$build/corpus/$1" "tests/fuzz/corpus/$1" >"$build/fuzz/$1.log" 2>&1
}

units() { sed -n 's/^stat::number_of_executed_units: *//p' "$build/fuzz/$1.log"; }
found() { ls "$build/fuzz/finding-$1-"* >/dev/null 2>&1; }

for name; do
	rm -f "$build/fuzz/finding-$name-"*
	if ! run "$name" && ! found "$name"; then
		tail -n 20 "$build/fuzz/$name.log"
		echo "fuzz_$name ended badly without a finding; once more"
		run "$name" || true
	fi
	if found "$name" || [ -z "$(units "$name")" ]; then
		tail -n 50 "$build/fuzz/$name.log"
		echo "fuzz_$name failed: see $build/fuzz"
		exit 1
	fi
	echo "fuzz_$name: $(units "$name") inputs"
done
