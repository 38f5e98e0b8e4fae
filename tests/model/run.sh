#!/bin/sh
# Checks the model of the queue's protocol (queue.pml): that its steps are the daemon's statements,
# that what it promises holds in every state that can be reached, and that each rule which was found
# wrong once is still found wrong, so that a model that has gone blind is noticed.
#
# usage: tests/model/run.sh DIRECTORY [INSTANCE]
#   Works in DIRECTORY, one directory an instance, and leaves a trail there where it finds
#   something.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sql=$here/../../src/queue/sql
functions=$here/../../migrations/functions.sql
mkdir -p "$1"
out=$(cd "$1" && pwd)
only=${2:-}
cc=${CC:-cc}

fail() {
	echo "check-model: $*" >&2
	exit 1
}

# ---- the two lists ----

check_names() {
	sed -n 's/^\([a-z_]*\)[ \t].*/\1/p' "$here/leftout.txt" | sort >"$out/leftout"
	grep -o 'SQL([a-z_]*)' "$here/queue.pml" | sed 's/SQL(//; s/)//' | grep -vx statement |
		sort -u >"$out/modelled"
	ls "$sql" | sed -n 's/\.sql$//p' | sort >"$out/statements"
	sort "$out/leftout" "$out/modelled" | uniq -d >"$out/twice"
	sort -u "$out/leftout" "$out/modelled" >"$out/known"
	unknown=$(comm -13 "$out/known" "$out/statements")
	gone=$(comm -23 "$out/known" "$out/statements")
	[ -z "$unknown" ] || fail "neither in queue.pml nor in leftout.txt:" $unknown
	[ -z "$gone" ] || fail "in queue.pml or leftout.txt, but no file of src/queue/sql:" $gone
	for function in $(grep -o 'CALL([a-z_]*)' "$here/queue.pml" | sed 's/CALL(//; s/)//'); do
		[ "$function" = function ] || grep -q "FUNCTION $function(" "$functions" ||
			fail "in queue.pml, but not in migrations/functions.sql: $function"
	done
	[ ! -s "$out/twice" ] || fail "in queue.pml and in leftout.txt: $(cat "$out/twice")"
}

# ---- instances ----

# As spin shows it: who (the number of a process), and what.
show_trail() {
	(cd "$1" && spin -t -T -B $2 queue.pml | grep -v -e '^Never claim' -e '^ltl ')
}

# build CHECKER DEFINES CFLAGS: one is for all instances, since to compile it is more work than
# most searches are; to optimise it is more than all of them save. What spin writes is not ours to
# mend.
build() {
	mkdir -p "$out/$1"
	cp "$here/queue.pml" "$out/$1/"
	(
		cd "$out/$1"
		spin -a -DASK $2 queue.pml >spin.log 2>&1
		$cc -O0 -w $3 -DNOREDUCE -DNOBOUNDCHECK -DMEMLIM=1500 -o pan pan.c
	) || fail "the checker could not be built; see $out/$1"
}

# Has an instance searched, all of it; the report goes to $dir/report.
explore() {
	dir=$out/$1
	defines=$2
	mkdir -p "$dir"
	rm -f "$dir"/*.trail
	cp "$here/queue.pml" "$dir/"
	case $defines in
	*LIVENESS*) checker=liveness; search=-a ;;
	*) checker=safety; search= ;;
	esac
	asked=
	for define in $defines; do
		case $define in		# -DJOBS=2 -DPARTS: JOBS=2 PARTS=1
		*=*) asked="$asked ${define#-D}" ;;
		*) asked="$asked ${define#-D}=1" ;;
		esac
	done
	(
		cd "$dir"
		timeout 240 env -i $asked "$out/$checker/pan" -m100000 -w20 $search >report 2>&1
	) || fail "instance $1 could not be checked; see $dir"
	grep -q '^pan: out of memory\|max search depth too small' "$dir/report" &&
		fail "instance $1 was not searched whole; see $dir/report"
	states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$dir/report")
}

# holds INSTANCE DEFINES: nothing is wrong in any state.
holds() {
	[ -z "$only" ] || [ "$only" = "$1" ] || return 0
	explore "$1" "$2"
	if ! grep -q 'errors: 0$' "$dir/report"; then
		show_trail "$dir" "$2" >&2
		fail "instance $1 ($2) finds an error; tests/README.md says how to read it"
	fi
	echo "  MODEL $1: holds in $states states"
}

# refutes INSTANCE DEFINES ASSERTION: that, and nothing else, is found wrong.
refutes() {
	[ -z "$only" ] || [ "$only" = "$1" ] || return 0
	explore "$1" "$2"
	show_trail "$dir" "$2" >"$dir/story" || true
	if ! grep -q "text of failed assertion: .*$3" "$dir/story"; then
		cat "$dir/story" >&2
		fail "instance $1 ($2) no longer finds that $3 fails: the model has gone blind"
	fi
	[ -z "$only" ] || cat "$dir/story"
	echo "  MODEL $1: refuted, as it must be"
}

check_names
build liveness -DLIVENESS -DNOFAIR &
half=$!
build safety '' -DSAFETY && wait $half

# Each is as large as a few seconds allow, and all states of it are looked at. Liveness needs no
# fairness: when what goes wrong has an end, so has everything.
(
	holds two-jobs-a-fault '-DJOBS=2 -DFAULTS=1 -DCHANGES=0 -DBRIEFLY'
	holds two-jobs-a-change '-DJOBS=2 -DFAULTS=0 -DCHANGES=1'
	holds crash '-DJOBS=2 -DFAULTS=1 -DCHANGES=0 -DBRIEFLY -DCRASH'
	holds one-job-two-faults '-DJOBS=1 -DFAULTS=2 -DCHANGES=0'
	holds two-jobs-end '-DJOBS=2 -DFAULTS=0 -DCHANGES=0 -DLIVENESS'
	refutes old-claim-numbers '-DJOBS=1 -DFAULTS=0 -DCHANGES=1 -DOLD_CLAIM_NUMBERS' \
		'ghost_row==con'
	refutes old-cursors '-DJOBS=2 -DFAULTS=0 -DCHANGES=0 -DOLD_CURSORS' 'seq>ghost_reader'
	refutes old-forget '-DJOBS=2 -DFAULTS=0 -DCHANGES=1 -DFORGET -DOLD_FORGET' 'completed=='
) &
half=$!
(
	holds one-job-a-fault-a-change '-DJOBS=1 -DFAULTS=1 -DCHANGES=1'
	holds forget '-DJOBS=2 -DFAULTS=0 -DCHANGES=1 -DFORGET'
	holds parts '-DJOBS=1 -DFAULTS=1 -DCHANGES=1 -DPARTS'
	holds one-job-ends '-DJOBS=1 -DFAULTS=1 -DCHANGES=0 -DLIVENESS'
	refutes old-blame '-DJOBS=2 -DFAULTS=1 -DCHANGES=0 -DBRIEFLY -DOLD_BLAME' 'ghost_culprit'
	refutes no-reaper '-DJOBS=1 -DFAULTS=1 -DCHANGES=0 -DNO_REAPER' 'status==2'
	refutes old-claimants '-DJOBS=1 -DFAULTS=1 -DCHANGES=0 -DCRASH -DOLD_CLAIMANTS' 'by==con'
	refutes old-parts '-DJOBS=1 -DFAULTS=1 -DCHANGES=0 -DPARTS -DOLD_PARTS' 'status==2.*there'
) && wait $half
