#!/bin/sh
# Shows gradingd at work: a Postgres of its own in a temporary directory (a Unix socket, no port),
# the schema, a pool of four workers with the rubric built in, the sample conversations and copies
# of them rated under a progress bar, one of them shown, the pool's status; then everything goes
# again. However it ends, no process and no directory stays behind.
#
# usage: tests/demo.sh [BUILD]      DATABASE=CONNINFO in the environment: that database instead
set -u

build=${1:-build}
gradingd=$build/gradingd
gradingctl=$build/gradingctl
copies=250		# of each sample, so that there is something to watch
shown=door-lawn-01
database=${DATABASE:-}

case ${TMPDIR:=/tmp} in
# The path of a socket may have 107 bytes.
????????????????????????????????????????*) TMPDIR=/tmp ;;
esac
dir=
postgres_pid=
gradingd_pid=
step_pid=
user=		# what the pool becomes, and the words that become it
become=

# ---- what is said ----

bold=
plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m')
	plain=$(printf '\033[0m')
fi
heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

fail() {
	printf '\ndemo: %s\n' "$1" >&2
	[ -z "${2:-}" ] || ! [ -s "$2" ] || tail -n 15 "$2" >&2
	exit 1
}

# ---- how it ends ----

# stop PID: asks it to end; after five seconds it must.
stop() {
	kill "$1" 2>/dev/null || return 0
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.2
	done
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

clean_up() {
	status=$?
	trap '' INT TERM HUP PIPE EXIT
	[ -z "$step_pid" ] || stop "$step_pid"
	[ -z "$gradingd_pid" ] || stop "$gradingd_pid"
	[ -z "$postgres_pid" ] || stop "$postgres_pid"
	[ -z "$dir" ] || rm -rf "$dir"
	exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

# In the background and waited for, since a shell hears of a signal only between commands. The two
# servers get sessions of their own (setsid): a Ctrl-C is for this script, which stops them in the
# right order.
run() {
	"$@" &
	step_pid=$!
	wait "$step_pid"
	status=$?
	step_pid=
	return $status
}

# ---- a Postgres of our own ----

# The newest server's programs; Debian keeps them out of PATH.
server_program() {
	command -v "$1" || ls -v /usr/lib/postgresql/*/bin/"$1" 2>/dev/null | tail -n 1
}

# Postgres refuses to run as root; the pool becomes the same account.
choose_account() {
	[ "$(id -u)" -eq 0 ] || return 0
	user=nobody
	! id postgres >/dev/null 2>&1 || user=postgres
	become="setpriv --reuid $user --regid $(id -g $user) --clear-groups"
	chown "$user" "$dir"
}

start_postgres() {
	choose_account
	# What the environment says of other servers is not for this one.
	for name in $(env | sed -n 's/^\(PG[A-Z]*\)=.*/\1/p'); do unset "$name"; done
	initdb=$(server_program initdb)
	postgres=$(server_program postgres)
	[ -n "$postgres" ] ||
		fail "there is no Postgres server here; sh tests/deps.sh demo installs one"
	heading "Starting a private Postgres $("$postgres" --version | awk '{ print $3 }') in $dir"
	# $become is several words, here and below.
	run $become "$initdb" -D "$dir/data" -U grading -A trust -E UTF8 --locale=C --no-sync \
		>"$dir/initdb.log" 2>&1 || fail "initdb failed" "$dir/initdb.log"
	setsid $become "$postgres" -D "$dir/data" -c listen_addresses= \
		-c "unix_socket_directories=$dir" >"$dir/postgres.log" 2>&1 &
	postgres_pid=$!
	database="host=$dir user=grading dbname=postgres"
	wait_for "Postgres" "$postgres_pid" "$dir/postgres.log" psql -X -q -c 'SELECT 1' "$database"
}

# wait_for WHAT PID LOG COMMAND...: until the command succeeds, while the process lives.
wait_for() {
	what=$1 pid=$2 log=$3
	shift 3
	tries=0
	until "$@" >/dev/null 2>&1; do
		kill -0 "$pid" 2>/dev/null || fail "$what ended early" "$log"
		tries=$((tries + 1))
		[ "$tries" -lt 150 ] || fail "$what took too long" "$log"
		sleep 0.1
	done
}

# ---- the pool ----

write_configuration() {
	# What libconfig wants escaped in a string.
	conninfo=$(printf '%s' "$database" | sed 's/[\\"]/\\&/g')
	(umask 077 && cat >"$dir/gradingd.conf") <<-END
		database: { conninfo = "$conninfo"; };
		pool: { workers = 4; user = "$user"; };
		queue: { poll = "1s"; };
		rater: { backend = "rubric"; };
		control: { socket = "$dir/control.sock"; };
	END
}

ctl() { run "$gradingctl" -c "$dir/gradingd.conf" "$@"; }

start_pool() {
	heading "Starting gradingd: 4 workers, the rubric built in"
	setsid "$gradingd" -c "$dir/gradingd.conf" 2>"$dir/gradingd.log" &
	gradingd_pid=$!
	wait_for gradingd "$gradingd_pid" "$dir/gradingd.log" is_up
	tail -n 1 "$dir/gradingd.log"
}

is_up() { grep -q 'the pool is up' "$dir/gradingd.log"; }

# ---- the conversations ----

# The samples, one to a line, with each copy's number and this run's in its id.
write_copies() {
	for sample in etc/samples/*.json; do
		tr -d '\n\t' <"$sample"
		echo
	done | awk -v copies=$copies -v run="$(date +%s)" '{
		for (i = 1; i <= copies; i++) {
			line = $0
			sub(/"id": *"[^"]*/, "&-" run "-" i, line)
			print line
		}
	}' >"$dir/copies.jsonl"
}

seconds() { date +%s.%N; }

rate_everything() {
	set -- etc/samples/*.json
	heading "Enqueueing the $# sample conversations, and $copies copies of each"
	write_copies
	began=$(seconds)
	ctl --json enqueue "$@" "$dir/copies.jsonl" --wait >"$dir/result.json" || return 1
	# The pool's own figures are as old as the janitor's last look, a second at most.
	[ -n "${DATABASE:-}" ] ||
		wait_for "gradingd" "$gradingd_pid" "$dir/gradingd.log" queue_is_empty
	awk -v began="$began" -v ended="$(seconds)" -F '[:,}]' '{
		for (i = 1; i < NF; i++) {
			gsub(/[^a-z_]/, "", $i)
			if ($i != "")
				n[$i] = $(i + 1) + 0
		}
		s = ended - began
		printf "%d conversations, %d jobs, %d ratings stored in %.1f s", \
			n["sessions"], n["jobs"], n["lines"], s
		printf ", enqueueing included:\n%d jobs and %d ratings a second. ", \
			n["jobs"] / s, n["lines"] / s
		print "No model was asked; copies come from the phrase cache."
	}' "$dir/result.json"
}

queue_is_empty() {
	"$gradingctl" -c "$dir/gradingd.conf" show status | grep -q '^queue processing: *0$'
}

show_results() {
	heading "One of them: gradingctl ratings $shown"
	ctl ratings $shown || return 1
	for words in "show status" "show workers"; do
		heading "The control socket: gradingctl $words"
		ctl $words || return 1
	done
}

# ---- all of it ----

dir=$(mktemp -d "$TMPDIR/gradingd-demo.XXXXXX") ||
	fail "no temporary directory could be made in $TMPDIR"
[ -n "$database" ] || start_postgres
write_configuration
heading "Bringing the schema up: gradingctl migrate"
ctl migrate || fail "the schema could not be brought up"
start_pool
rate_everything || fail "not everything was rated; the pool's log:" "$dir/gradingd.log"
show_results || fail "the pool did not answer; its log:" "$dir/gradingd.log"
heading "Stopping"
stop "$gradingd_pid"
gradingd_pid=
tail -n 1 "$dir/gradingd.log"
if [ -n "${DATABASE:-}" ]; then
	echo "The ratings stay in your database."
else
	echo "Postgres and its directory go, too; nothing stays behind."
fi
