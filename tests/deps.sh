#!/bin/sh
# Installs what is missing here with apt-get, as root or through sudo; when all is there it does
# nothing, offline. No server is started and no cluster made on the way: the demo and the tests run
# their own.
#
# usage: tests/deps.sh build|demo|check|all|peers
#   build  compiler and libraries          check  demo, and what the tests need
#   demo   build, and a Postgres server    all    check, and what lint and the fuzzers need
#                                          peers  check, and what bench-peers needs
set -eu

python=${PYTHON:-/usr/bin/python3}
missing=

there() { command -v "$1" >/dev/null 2>&1; }
compiles() { printf '#include <%s>\n' "$2" | "$1" -x c -fsyntax-only - 2>/dev/null; }
library() { there pkg-config && pkg-config --exists "$1"; }
server() { there postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }
python_has() { "$python" -c "import $1" 2>/dev/null; }
links() { echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
	clang -x c "$1" -o /dev/null - 2>/dev/null; }

# need PACKAGE TEST...: what Debian calls it, and what succeeds when it is there.
need() {
	package=$1
	shift
	"$@" || missing="$missing $package"
}

need_build() {
	need gcc there "${CC:-cc}"
	need libc6-dev compiles "${CC:-cc}" stdio.h
	need make there make
	need pkg-config there pkg-config
	need libpq-dev library libpq
	need libcurl4-openssl-dev library libcurl
	need libjson-c-dev library json-c
	need libconfig-dev library libconfig
	need libssl-dev library libcrypto
}

need_demo() {
	need_build
	need postgresql server
	need postgresql-client there psql
}

need_check() {
	need_demo
	need libcmocka-dev library cmocka
	need python3 "$python" -c ''
	need python3-pytest python_has pytest
	need python3-pytest-timeout python_has pytest_timeout
	need python3-pytest-xdist python_has xdist
	need python3-psycopg python_has psycopg
	need python3-h2 python_has h2
	need openssl there openssl
	need mandoc there mandoc
	need pgbouncer there pgbouncer
	need valgrind there valgrind
	need spin there spin
}

need_all() {
	need_check
	need clang there clang
	need libclang-rt-14-dev links -fsanitize=fuzzer,address
	need clang-tidy there clang-tidy
	need shellcheck there shellcheck
}

need_peers() {
	need_check
	need nodejs there node
	need npm there npm
	need redis-server there redis-server
}

case ${1:-} in
build | demo | check | all | peers) "need_$1" 2>/dev/null ;;
*) echo "usage: tests/deps.sh build|demo|check|all|peers" >&2; exit 2 ;;
esac
[ -n "$missing" ] || exit 0

# From here on as root. sudo asks for a password only where there is someone to type it.
if [ "$(id -u)" -ne 0 ] && there apt-get && there sudo &&
	{ [ -t 0 ] || sudo -n true 2>/dev/null; }; then
	exec sudo CC="${CC:-cc}" PYTHON="$python" sh "$0" "$1"
fi
if [ "$(id -u)" -ne 0 ] || ! there apt-get; then
	echo "Missing here:$missing (by their names in Debian). Install them, as root:" >&2
	echo "  apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

log=$(mktemp)
no_cluster=/etc/postgresql-common/createcluster.d/gradingd-deps.conf
no_services=/usr/sbin/policy-rc.d
made=$log
# What is written for the time of the installation goes whatever happens. $made is several words, as
# $missing is.
trap 'rm -f $made' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Debian's postgresql would make a cluster and start it, pgbouncer would start. A machine that has a
# server already keeps its own settings.
hold_services() {
	if ! server; then
		mkdir -p "${no_cluster%/*}"
		made="$made $no_cluster"
		echo 'create_main_cluster = false' >"$no_cluster"
	fi
	if ! [ -e "$no_services" ]; then
		made="$made $no_services"
		printf '#!/bin/sh\nexit 101\n' >"$no_services"
		chmod 755 "$no_services"
	fi
}

install_missing() {
	apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
}

update() { apt-get update -q -o DPkg::Lock::Timeout=300; }

# Lists may be missing, or older than what the mirror still has.
install_all() {
	ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || update
	install_missing || { update && install_missing; }
}

export DEBIAN_FRONTEND=noninteractive
echo "Installing$missing"
hold_services
if ! install_all >"$log" 2>&1 </dev/null; then
	tail -n 20 "$log" >&2
	echo "apt-get could not install$missing" >&2
	exit 1
fi
# Not at the next boot either: the tests start theirs.
for service in pgbouncer redis-server; do
	case $missing in
	*"$service"*) update-rc.d "$service" disable >/dev/null 2>&1 || true ;;
	esac
done
