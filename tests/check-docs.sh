#!/bin/sh
# Compares what the programs know with what is written about them, both ways: configuration keys
# with etc/gradingd.conf and gradingd.conf(5), commands with gradingctl(8), metrics and a line's
# outcomes with gradingd(8), functions, columns and rights of migrations/ with gradingd-sql(7). Then
# looks for what the README files name: rooms, links, files, functions. Then mandoc's lint. Lists
# what is missing or stale and exits 1, else is quiet.
#
# usage, in the project's root: tests/check-docs.sh [COMMANDS]
# COMMANDS is a file with a command a line, as `gradingctl --commands` prints it. BUILD names the
# directory of the programs (build).
set -eu
export LC_ALL=C		# sort and comm must agree

build=${BUILD:-build}
pages='src/gradingd.8 src/gradingctl.8 src/gradingd.conf.5 src/gradingd-sql.7
	src/gradingd-rollout.7'
papers='README.md src/README.md tests/README.md migrations/README.md'
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

# The page as text: wide, without overstrikes.
render() { mandoc -T ascii -O width=400 "$1" | sed "s/.$(printf '\b')//g"; }

# complain FILE: its lines, if there are any, are what is wrong.
complain() {
	[ -s "$1" ] || return 0
	cat "$1"
	status=1
}

# compare WHAT EXPECTED FOUND PLACE: files of lines that should be the same, as sets.
compare() {
	if ! [ -s "$2" ]; then
		echo "check-docs: no $1 to look for"
		status=1
	fi
	sort -u "$2" > "$tmp/a"
	sort -u "$3" > "$tmp/b"
	comm -23 "$tmp/a" "$tmp/b" | sed "s|^|$4 lacks the $1: |" > "$tmp/diff"
	comm -13 "$tmp/a" "$tmp/b" | sed "s|^|$4 has what does not exist, as $1: |" >> "$tmp/diff"
	complain "$tmp/diff"
}

# ---- keys: "queue.poll = "5s"", and for the sample with the help as its comment ----

"$build/gradingd" -K > "$tmp/keys"
awk -F '\t' '{ print $1 " = " $3 }' "$tmp/keys" > "$tmp/keys.defaults"
awk -F '\t' '{ print $1 " = " $3 " # " $5 }' "$tmp/keys" > "$tmp/keys.help"
awk '
	/^[a-z]+: *\{/ { group = $1; sub(":", "", group); comment = ""; next }
	/^# / { alone = $0; sub("^# *", "", alone) }
	/^[a-z_]+ = .*;$/ { sub(";$", ""); print $0 " # " alone }
	/^\t#/ { sub("^\t# *", ""); comment = comment (comment == "" ? "" : " ") $0; next }
	/^\t[a-z_]+ = .*;$/ {
		sub("^\t", ""); sub(";$", "")
		print group "." $0 " # " comment
		comment = ""
	}
' etc/gradingd.conf > "$tmp/keys.sample"
compare 'key with default and help' "$tmp/keys.help" "$tmp/keys.sample" etc/gradingd.conf

render src/gradingd.conf.5 |
	sed -n -e 's/^ *\([a-z]*\.[a-z_]* = .*[^ ]\) *$/\1/p' \
		-e 's/^     \([a-z]* = .*[^ ]\) *$/\1/p' > "$tmp/keys.manual"
compare 'key with default' "$tmp/keys.defaults" "$tmp/keys.manual" src/gradingd.conf.5

# ---- commands: the literal words alone, without arguments and help ----

if [ $# -gt 0 ]; then
	cat "$1"
else
	"$build/gradingctl" --commands
fi | awk '{
	words = ""
	sub("\t.*", ""); sub("   *[^ ].*", "")
	for (i = 1; i <= NF && $i ~ /^[a-z]+$/; i++)
		words = words (i > 1 ? " " : "") $i
	if (words != "")
		print words
}' > "$tmp/commands"
awk '/^\.It Ic / {
	words = $3
	for (i = 4; i <= NF && $i ~ /^[a-z]+$/; i++)
		words = words " " $i
	print words
}' src/gradingctl.8 > "$tmp/commands.manual"
compare command "$tmp/commands" "$tmp/commands.manual" src/gradingctl.8

# ---- metrics: the list in metrics.h, and the pool's own in prometheus.c ----

{
	sed -n 's/^[[:space:]]*X([A-Z_]*, *"\([a-z_]*\)".*/gradingd_\1/p' \
		include/scoreboard/metrics.h
	sed -nE -e 's/^[[:space:]]*X\(([a-z_]*), (gauge|counter),.*/gradingd_\1/p' \
		-e 's/^[[:space:]]*\{ "([a-z_]*)", ".*" \},.*/gradingd_\1/p' \
		src/control/prometheus.c
} > "$tmp/metrics"
grep -o 'gradingd_[a-z_]*' src/gradingd.8 > "$tmp/metrics.manual" || true
compare metric "$tmp/metrics" "$tmp/metrics.manual" src/gradingd.8

# ---- outcomes of a line: the list in outcome.h ----

sed -n 's/^[[:space:]]*X([A-Z_]*, *"\([a-z_]*\)", *COUNTER_OUTCOME.*/\1/p' \
	include/scoreboard/outcome.h > "$tmp/outcomes"
sed -n '/^\.Sh LINES WITHOUT A RATING/,/^\.El/s/^\.It Li //p' src/gradingd.8 |
	tr -d ' ' | tr , '\n' > "$tmp/outcomes.manual"
compare outcome "$tmp/outcomes" "$tmp/outcomes.manual" src/gradingd.8

# ---- SQL: the migrations in the order in which they apply, without comments ----

find migrations -name '*.sql' | sort |
	xargs sed 's/^[[:space:]]*--.*//; s/[[:space:]]-- .*//' > "$tmp/sql"

# Functions as they were last made, but for those that triggers alone call.
awk '
	/CREATE (OR REPLACE )?FUNCTION/ { text = ""; making = 1 }
	making { text = text " " $0 }
	making && /RETURNS/ {
		making = 0
		sub(".*FUNCTION *", "", text)
		trigger = text ~ /RETURNS trigger/
		sub(/\) *RETURNS.*/, ")", text)
		gsub(/[ \t]+/, " ", text); gsub(/\( /, "(", text); gsub(/ \)/, ")", text)
		name = text
		sub(/\(.*/, "", name)
		if (!trigger)
			made[name] = text
	}
	END { for (name in made) print made[name] }
' "$tmp/sql" > "$tmp/functions"
sed -n 's/^\.It Ic \(gradingd\{0,1\}_.*)\)$/\1/p' src/gradingd-sql.7 > "$tmp/functions.manual"
compare function "$tmp/functions" "$tmp/functions.manual" src/gradingd-sql.7

# "table.column type"
awk '
	/^CREATE (UNLOGGED )?TABLE/ {
		table = $0
		sub(/.*(EXISTS|TABLE) /, "", table)
		sub(/ .*/, "", table)
	}
	/^ALTER TABLE/ { table = $3 }
	/^(ALTER TABLE [a-z_]+ |\t)ADD COLUMN/ { sub(/.*ADD COLUMN (IF NOT EXISTS )?/, "\t") }
	/^\t[a-z_]+ +[a-z]/ && table != "" {
		type = $2
		sub(/[,;]$/, "", type)
		print table "." $1 " " type
	}
	/;$/ || /^\)/ { table = "" }
' "$tmp/sql" > "$tmp/columns"
awk '/^\.Ss / { table = $2 } /^\.It Va / { print table "." $3 " " $4 }' src/gradingd-sql.7 \
	> "$tmp/columns.manual"
compare column "$tmp/columns" "$tmp/columns.manual" src/gradingd-sql.7

# "role object: privileges", as grading_secure() was last made.
awk '
	/rights constant text/ { text = ""; reading = 1 }
	reading { text = text $0 }
	reading && /\]\];/ { reading = 0 }
	END {
		while (match(text, /\[\047[^]]*\047\]/)) {
			right = substr(text, RSTART + 2, RLENGTH - 4)
			text = substr(text, RSTART + RLENGTH)
			split(right, part, /\047,[ \t]*\047/)
			print part[1] " " part[2] ": " part[3]
		}
	}
' "$tmp/sql" > "$tmp/rights"
awk '
	/^\.Ss / { role = $2 }
	/^\.It .* Ta / { object = $2; sub(/.* Ta /, ""); print role " " object ": " $0 }
' src/gradingd-sql.7 > "$tmp/rights.manual"
compare right "$tmp/rights" "$tmp/rights.manual" src/gradingd-sql.7

# ---- rooms: the table that says what lives there ----

awk '/^room / { print $2 }' src/ROOMS | while read -r room; do
	[ ! -d "src/$room" ] || echo "$room"
done > "$tmp/rooms"
sed -n '/^| room |/,/^$/s/^| \([a-z\/]*\) | .*/\1/p' src/README.md |
	grep -vx room > "$tmp/rooms.readme" || true
compare room "$tmp/rooms" "$tmp/rooms.readme" src/README.md

# A worker's parts are listed from the top down.
ls src/worker/*.c | sed 's|.*/||; s|\.c$||' > "$tmp/parts"
sed -n "/^## A worker's parts/,/^## J/s/^     *\([a-z_]*\)   *[a-z].*/\1/p" src/README.md \
	> "$tmp/parts.readme"
compare "part of a worker" "$tmp/parts" "$tmp/parts.readme" src/README.md

# ---- papers: each link leads somewhere; each `file` and `function()` in them exists ----

# lacking FOLDER...: what standard input names and none of the folders has.
lacking() {
	sort -u | while read -r name; do
		found=
		for folder; do
			[ ! -e "$folder/$name" ] || found=yes
		done
		[ -n "$found" ] || echo "$paper $verb $name, which does not exist"
	done
}

# A README's links, the files that it names (but for those that a build makes or a system has), and
# the functions.
links() { grep -o '](\([^)#]*\)' "$1" | sed 's/^](//' | grep -v '^[a-z]*:' || true; }
files() {
	grep -oE '`[a-zA-Z_./-]+/[a-zA-Z0-9_.-]+\.[a-z0-9]+`' "$1" | tr -d '`' |
		grep -v -e '^/' -e '^build/' || true
}
functions() { grep -oE '`[a-z][a-z0-9_]+\(\)`' "$1" | tr -d '`()' | sort -u || true; }
is_known() {
	grep -rqwF "$1" --include='*.[ch]' --include='*.sql' --include='*.py' \
		src include migrations tests
}

for paper in $papers; do
	folder=$(dirname "$paper")
	verb='links to'
	links "$paper" | lacking "$folder" > "$tmp/lacking"
	verb=names
	files "$paper" | lacking . src include "$folder" >> "$tmp/lacking"
	functions "$paper" | while read -r name; do
		is_known "$name" || echo "$paper names $name(), which does not exist"
	done >> "$tmp/lacking"
	complain "$tmp/lacking"
done

for page in $pages; do
	mandoc -T lint -W warning "$page" || status=1
done
exit $status
