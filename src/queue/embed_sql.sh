#!/bin/sh
# The daemon's statements from src/queue/sql: as the C table that is compiled in, or whole for psql.
# usage: embed_sql.sh c|psql src/queue/sql/*.sql
#
# A file is what psql reads (from within that directory): `\set` lines that name pieces, a comment,
# and PREPARE name (parameters) AS statement. Of psql's language this knows: \set NAME `cat FILE`,
# \set NAME 'text', \set NAME :OTHER, \ir FILE for a file that has nothing but these, and :NAME
# outside of strings, which is expanded where it is used. A statement without PREPARE (BEGIN,
# COMMIT) has no parameters and the file's name.
set -eu

form=$1
shift
exec awk -v form="$form" '
function fail(text)
{
	print file ": " text > "/dev/stderr"
	failed = 1
	exit 1
}

function slurp(path,    line, text, rc)
{
	text = ""
	while ((rc = (getline line < path)) > 0)
		text = text line "\n"
	if (rc < 0)
		fail("cannot read " path)
	close(path)
	return text
}

# How long the string, quoted name or comment is with which text begins.
function token_length(text,    end, rest)
{
	if (substr(text, 1, 2) == "--")
		return (end = index(text, "\n")) ? end - 1 : length(text)
	end = index(rest = substr(text, 2), substr(text, 1, 1))
	if (!end)
		fail("not closed: " substr(text, 1, 40))
	return end + 1
}

# text with its variables expanded, in lines that are indented as the one in which they stand; its
# comments go, but for those of the file itself.
function expand(text, keep,    out, token, name, len, value, indent)
{
	out = ""
	while (match(text, /'\''|"|--|::|:[a-z_]+/)) {
		out = out substr(text, 1, RSTART - 1)
		text = substr(text, RSTART)
		token = substr(text, 1, RLENGTH)
		name = substr(token, 2)
		len = RLENGTH
		if (token ~ /^(--|'\''|")/)
			len = token_length(text)
		value = substr(text, 1, len)
		if (token == "--" && !keep)
			value = ""
		if (token ~ /^:[a-z_]/ && name in variables) {
			value = expand(variables[name], 0)
			gsub(/^[ \t\n]+|[ \t\n]+$/, "", value)
			indent = out
			sub(/.*\n/, "", indent)
			sub(/[^\t].*/, "", indent)
			gsub(/\n/, "\n" indent, value)
		}
		out = out value
		text = substr(text, len + 1)
	}
	return out text
}

# One line, with a blank for each run of them outside of strings.
function squeeze(text,    out, part)
{
	out = ""
	while (match(text, /'\''|"/)) {
		part = substr(text, 1, RSTART - 1)
		gsub(/[ \t\n]+/, " ", part)
		text = substr(text, RSTART)
		out = out part substr(text, 1, token_length(text))
		text = substr(text, token_length(text) + 1)
	}
	gsub(/[ \t\n]+/, " ", text)
	out = out text
	gsub(/^ | ?;? ?$/, "", out)
	return out
}

function set_variable(line,    name, value)
{
	name = value = line
	sub(/^\\set /, "", name)
	sub(/ .*/, "", name)
	sub(/^\\set [a-z_]+ /, "", value)
	if (value ~ /^`cat .*`$/)
		value = slurp(directory substr(value, 6, length(value) - 6))
	else if (value ~ /^'\''.*'\''$/) {
		value = substr(value, 2, length(value) - 2)
		gsub(/'\'''\''/, "'\''", value)
	} else if (value ~ /^:[a-z_]+$/ && substr(value, 2) in variables)
		value = variables[substr(value, 2)]
	else
		fail("what is this? " line)
	variables[name] = value
}

# Reads a file: its text, and the variables that it sets, and those of the files that it names.
function read_file(path,    line, text, rc)
{
	text = ""
	while ((rc = (getline line < path)) > 0) {
		if (line ~ /^\\ir /)
			read_variables(directory substr(line, 5))
		else if (line ~ /^\\/)
			set_variable(line)
		else
			text = text line "\n"
	}
	if (rc < 0)
		fail("cannot read " path)
	close(path)
	return text
}

function read_variables(path,    text)
{
	text = read_file(path)
	gsub(/--[^\n]*/, "", text)
	if (text ~ /[^\n]/)
		fail("more than variables and comments: " path)
}

function read_statement()
{
	split("", variables)
	return read_file(file)
}

function c_string(text,    out)
{
	gsub(/[\\"]/, "\\\\&", text)
	out = ""
	while (length(text) > 72 && match(substr(text, 72), / /)) {
		out = out "\t\t\"" substr(text, 1, 71 + RSTART) "\"\n"
		text = substr(text, 72 + RSTART)
	}
	return out "\t\t\"" text "\""
}

function write_c(text,    nparams, types)
{
	nparams = 0
	text = squeeze(expand(text, 0))
	if (sub("^PREPARE " name " ", "", text)) {
		if (match(text, /^\([a-z0-9, \[\]]*\) /)) {
			nparams = split(substr(text, 1, RLENGTH), types, ",")
			text = substr(text, RLENGTH + 1)
		}
		if (!sub(/^AS /, "", text))
			fail("no PREPARE " name " (...) AS")
	}
	printf "\t[STATEMENT_%s] = { \"%s\",\n%s, %d },\n", toupper(name), name, c_string(text),
		nparams
	written++
}

function write_psql(text)
{
	text = expand(text, 1)
	gsub(/^\n+|\n+$/, "", text)
	gsub(/[ \t]+\n/, "\n", text)
	print (written++ ? "\n" : "") text
}

BEGIN {
	if (form == "c") {
		print "#include \"queue/statements.h\"\n"
		print "const struct statement statements[STATEMENT_COUNT] = {"
	}
	for (i = 1; i < ARGC; i++) {
		file = name = ARGV[i]
		directory = file
		sub(/[^\/]*$/, "", directory)
		sub(/.*\//, "", name)
		sub(/\.sql$/, "", name)
		if (form == "c")
			write_c(read_statement())
		else
			write_psql(read_statement())
	}
	if (form == "c") {
		print "};"
		printf "_Static_assert(STATEMENT_COUNT == %d, \"each has its file\");\n", written
	}
	exit 0
}
END { exit failed }
' "$@"
