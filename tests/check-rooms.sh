#!/bin/sh
# Proves that sources, objects and programs obey src/ROOMS, the table of rooms and arrows: who
# includes whom, who names whose functions, that no files form a circle, that each header compiles
# by itself, what each program links, and that a file's or a function's name is its own. Gathers
# the facts (read-includes.awk, those of the includes); check-rooms.awk judges them.
#
# usage: tests/check-rooms.sh BUILD COMPILE...
#   BUILD    where the objects, the programs and their linker maps are
#   COMPILE  the command that compiles a source, without -c and -o
set -eu
export LC_ALL=C

build=$1
shift
table=src/ROOMS
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

complain() {
	echo "check-rooms: $*" >&2
	status=1
}

# ---- each header by itself, twice to try its guard: in parallel, beside all the rest ----

compile_headers() {
	while read -r header; do
		"$@" -fsyntax-only -include "$header" -include "$header" -x c /dev/null \
			>"$tmp/cc.$part" 2>&1 ||
			sed -e "1s|^|$header does not compile by itself: |" "$tmp/cc.$part"
	done
}

find include src -name '*.h' | sort >"$tmp/headers"
jobs=$(nproc 2>/dev/null || echo 2)
part=0
while [ "$part" -lt "$jobs" ]; do
	awk -v jobs="$jobs" -v part="$part" 'NR % jobs == part' "$tmp/headers" |
		compile_headers "$@" >"$tmp/alone.$part" &
	part=$((part + 1))
done

# ---- the facts, one a line ----

files() {
	sed 's/^/header /' "$tmp/headers"
	find src -name '*.c' | sort | sed 's/^/source /'
}

includes() {
	find include src -name '*.[ch]' | sort | xargs awk -f tests/read-includes.awk
}

# OBJECT FILE
objects() {
	find src -name '*.c' | sort | sed "s|^src/\(.*\)\.c$|$build/obj/\1.o \1|"
	awk -v build="$build" '$1 == "made" { print build "/" $2 ".o", $3 }' "$table"
}

# Whether make would compile it: what has no row is named for that alone.
has_row() {
	awk -v file="$1" -v room="${1%/*}" '$1 == "room" && ($2 == file || $2 == room) { found = 1 }
		END { exit !found }' "$table"
}

# needs OBJECT NAME, has OBJECT NAME; the object as its file is called (control/show)
symbols() {
	objects | while read -r object file; do
		if [ -e "$object" ]; then
			echo "$object"
		elif has_row "$file"; then
			echo "$object is missing: run make first" >>"$tmp/findings"
		fi
	done >"$tmp/objects"
	xargs nm -A -P -g <"$tmp/objects" | awk -v build="$build/" '{
		file = $1
		sub(/:$/, "", file); sub(/\.o$/, "", file)
		file = substr(file, length(build) + 1)
		sub(/^obj\//, "", file)
		print $3 ~ /^[Uw]$/ ? "needs" : "has", file, $2
	}'
}

# Where the compiler finds a library: in the directories that pkg-config names, or in its own.
library_file() {
	for directory in $(pkg-config --libs-only-L "$1" | sed 's/-L//g'); do
		[ ! -e "$directory/lib$2.so" ] || { echo "$directory/lib$2.so"; return; }
	done
	"$compiler" -print-file-name="lib$2.so"
}

# offers LIBRARY NAME
libraries() {
	compiler=$1
	for library in $(awk '$1 == "library" { print $2 }' "$table"); do
		for name in $(pkg-config --libs-only-l "$library" | sed 's/-l//g'); do
			nm -D -P --defined-only "$(library_file "$library" "$name")" |
				sed "s/^\([^ @]*\).*/offers $library \1/"
		done
	done
}

# links PROGRAM BASE: members of our archive, from the linker's map
programs() {
	for program in $(awk '$1 == "program" { print $2 }' "$table"); do
		if [ -e "$build/$program.map" ]; then
			tr ' \t' '\n\n' <"$build/$program.map" |
				sed -n 's/^[^ ]*libgrading\.a(\([^)]*\)\.o).*/\1/p' | sort -u |
				sed "s/^/links $program /"
		else
			complain "$build/$program.map is missing: run make first"
		fi
	done
}

{
	files
	includes
	symbols
	libraries "$1"
	programs
} >"$tmp/facts"

awk -f tests/check-rooms.awk "$table" "$tmp/facts" >>"$tmp/findings" ||
	complain "the facts could not be judged"
wait
cat "$tmp"/alone.* >>"$tmp/findings"
if [ -s "$tmp/findings" ]; then
	sed 's/^/check-rooms: /' "$tmp/findings" >&2
	status=1
fi
exit $status
