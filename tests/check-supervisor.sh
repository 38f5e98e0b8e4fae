#!/bin/sh
# The supervisor's promise, read from its objects: none names a function of libpq, libcurl or json-c, and
# none calls into an object outside of the list but for its children's main functions.
#
# usage: tests/check-supervisor.sh "OBJECTS OF THE SUPERVISOR" "ALL OBJECTS"
set -eu
export LC_ALL=C		# sort and join must agree

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

# "symbol object" for each symbol that the objects need (-u) or offer (--defined-only).
symbols() {
	option=$1
	shift
	nm -A -P "$option" "$@" | awk '{ sub(/:$/, "", $1); print $2, $1 }' | sort
}

complain() {
	sed "s/^/check-supervisor: /" "$1" >&2
	status=1
}

# The words are split on purpose.
{
	symbols -u $1 >"$tmp/needed"
	symbols --defined-only $1 | sort -u -k1,1 >"$tmp/own"
	symbols --defined-only $2 | sort -u -k1,1 >"$tmp/ours"
}
if ! [ -s "$tmp/needed" ] || ! [ -s "$tmp/own" ]; then
	echo "check-supervisor: the objects name nothing" >&2
	exit 1
fi

awk '$1 ~ /^(PQ|pq|lo_|curl_|json_|json_c_|lh_|array_list_|printbuf_)/ {
	print $2 " names " $1 ", which the supervisor must not" }' "$tmp/needed" >"$tmp/libraries"
[ ! -s "$tmp/libraries" ] || complain "$tmp/libraries"

# symbol, who needs it, who has it
join "$tmp/needed" "$tmp/ours" | join -v 1 - "$tmp/own" |
	awk '$1 !~ /^(janitor|worker|check|check_reload)_main$/ {
		print $2 " calls " $1 " in " $3 ", which is not on the list of the supervisor" }' >"$tmp/strays"
[ ! -s "$tmp/strays" ] || complain "$tmp/strays"
exit $status
