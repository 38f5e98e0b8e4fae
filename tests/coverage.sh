#!/bin/sh
# How many of the lines of src/ the unit tests ran, a line a room and the whole last; with FILES=1
# a line a file before.
#
# usage: [FILES=1] tests/coverage.sh BUILD
set -eu
export LC_ALL=C

find "$1/obj" -name '*.gcno' -exec "${GCOV:-gcov}" -n {} + 2>/dev/null |
	awk -v files="${FILES:-}" -v q="'" '
	/^File/ { split($0, part, q); file = part[2]; next }
	/^Lines executed:/ && file ~ /^src\/.*\.c$/ {
		split($0, part, /[:% ]+/)
		lines = part[5]
		ran = part[3] * lines / 100
		room = file
		sub(/^src\//, "", room)
		sub(/\/[^\/]*$/, "", room)
		all[room] += lines
		done[room] += ran
		sum += lines
		sum_ran += ran
		if (files)
			printf "%5.1f %% of %5d lines  %s\n", part[3], lines, file | "sort -n"
	}
	{ file = "" }
	END {
		close("sort -n")
		if (!sum) {
			print "coverage: nothing was measured" >"/dev/stderr"
			exit 1
		}
		for (room in all)
			printf "%5.1f %% of %5d lines  %s\n",
				100 * done[room] / all[room], all[room], room | "sort -k6"
		close("sort -k6")
		printf "%5.1f %% of %5d lines in all\n", 100 * sum_ran / sum, sum
	}'
