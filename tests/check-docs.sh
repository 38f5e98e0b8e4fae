#!/bin/sh
# Compares what the programs know with what is written about them: configuration keys with
# etc/gradingd.conf, gradingd.conf(5) and the README, commands with gradingctl(8) and the README, metrics
# with gradingd(8), all of them both ways; then mandoc's lint. Lists what is missing or stale and exits 1,
# else is quiet.
#
# usage, in the project's root: tests/check-docs.sh [COMMANDS]
# COMMANDS is a file with a command a line, as `gradingctl --commands` prints it. BUILD names the
# directory of the programs (build).
set -eu

build=${BUILD:-build}
pages='src/gradingd.8 src/gradingctl.8 src/gradingd.conf.5'
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

# The page as text: wide, without overstrikes.
render() { mandoc -T ascii -O width=400 "$1" | sed "s/.$(printf '\b')//g"; }

# compare WHAT EXPECTED FOUND PLACE: files of lines that should be the same, as sets.
compare() {
	if ! [ -s "$2" ]; then
		echo "check-docs: no $1 to look for"
		status=1
	fi
	sort -u "$2" > "$tmp/a"
	sort -u "$3" > "$tmp/b"
	comm -23 "$tmp/a" "$tmp/b" | sed "s|^|$4 lacks the $1: |" > "$tmp/diff"
	comm -13 "$tmp/a" "$tmp/b" | sed "s|^|$4 has a $1 that does not exist: |" >> "$tmp/diff"
	if [ -s "$tmp/diff" ]; then
		cat "$tmp/diff"
		status=1
	fi
}

# Keys: "queue.poll = "5s"", and for the sample with the help as its comment.
"$build/gradingd" -K > "$tmp/keys"
awk -F '\t' '{ print $1 " = " $3 }' "$tmp/keys" > "$tmp/keys.defaults"
awk -F '\t' '{ print $1 " = " $3 " # " $5 }' "$tmp/keys" > "$tmp/keys.help"
awk '
	/^[a-z]+: *\{/ { group = $1; sub(":", "", group); comment = ""; next }
	/^\t#/ { sub("^\t# *", ""); comment = comment (comment == "" ? "" : " ") $0; next }
	/^\t[a-z_]+ = .*;$/ { sub("^\t", ""); sub(";$", ""); print group "." $0 " # " comment; comment = "" }
' etc/gradingd.conf > "$tmp/keys.sample"
compare 'key with default and help' "$tmp/keys.help" "$tmp/keys.sample" etc/gradingd.conf

render src/gradingd.conf.5 | sed -n 's/^ *\([a-z]*\.[a-z_]* = .*[^ ]\) *$/\1/p' > "$tmp/keys.manual"
compare 'key with default' "$tmp/keys.defaults" "$tmp/keys.manual" src/gradingd.conf.5

# Commands: the literal words alone, without arguments and help.
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

# The README's two tables.
sed -n 's/^| `\([a-z]*\.[a-z_]*\)` | `\(.*\)` | \(.*\) |$/\1 = \2 # \3/p' README.md > "$tmp/keys.readme"
compare 'key with default and help' "$tmp/keys.help" "$tmp/keys.readme" README.md
sed -n 's/^| `\([a-z][a-z ]*[a-z]\)\( [^`]*\)*` | .* |$/\1/p' README.md > "$tmp/commands.readme"
compare command "$tmp/commands" "$tmp/commands.readme" README.md

# Metrics: the list in metrics.h, and the rows of the pool's own in metrics.c.
{
	sed -n 's/^[[:space:]]*X([A-Z_]*, *"\([a-z_]*\)".*/gradingd_\1/p' include/scoreboard/metrics.h
	sed -nE 's/.*\{ *"([a-z_]*)", ".*" *}, *"(gauge|counter|histogram)".*/gradingd_\1/p' src/scoreboard/metrics.c
} > "$tmp/metrics"
grep -o 'gradingd_[a-z_]*' src/gradingd.8 > "$tmp/metrics.manual" || true
compare metric "$tmp/metrics" "$tmp/metrics.manual" src/gradingd.8

for page in $pages; do
	mandoc -T lint -W warning "$page" || status=1
done
exit $status
