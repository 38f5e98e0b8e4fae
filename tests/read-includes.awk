# Prints the includes of C sources, a fact a line, for check-rooms.sh. Most are of one form, a line
# of its own that a reader and any tool take alike; what else the compiler would take for an include
# is a fact of its own, since nothing could say what it names.
#
# usage: awk -f read-includes.awk FILE...
#   include FILE LINE ours|theirs NAME
#   odd FILE LINE TEXT

# The text without its comments. One that it leaves open goes on in the next.
function bare(text,   out, found) {
	while (text != "") {
		if (in_comment) {
			if (!match(text, /\*\//))
				return out
			text = substr(text, RSTART + 2)
			in_comment = 0
			out = out " "
			continue
		}
		if (!match(text, /\/\*|\/\/|"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/))
			return out text
		found = substr(text, RSTART, RLENGTH)
		out = out substr(text, 1, RSTART - 1)
		text = substr(text, RSTART + RLENGTH)
		if (found == "//")
			return out
		if (found == "/*")
			in_comment = 1
		else
			out = out found
	}
	return out
}

function begin() { spliced = logical = first = "" }

FNR == 1 {
	in_comment = 0
	begin()
}

/^#include (<[^<>"]+>|"[^<>"]+")$/ {
	split($0, part, /[<>"]/)
	print "include", FILENAME, FNR, (index($0, "\"") ? "ours" : "theirs"), part[2]
	next
}

{
	if (first == "") {
		first = $0
		line = FNR
	}
	text = $0
	gsub(/\?\?=/, "#", text)
	gsub(/\?\?\//, "\\", text)
	spliced = spliced text
	if (sub(/\\[ \t]*$/, "", spliced))
		next
	logical = logical bare(spliced)
	spliced = ""
	if (in_comment)
		next
	if (logical ~ /^[ \t\f\v]*(#|%:)[ \t\f\v]*(include|import)/)
		print "odd", FILENAME, line, first
	begin()
}
