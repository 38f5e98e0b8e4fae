#!/bin/sh
# Writes C source that holds the named files byte for byte (see include/base/embed.h).
# usage: embed.sh migrations/*.sql etc/rubric.conf etc/prompt.txt etc/session-prompt.txt
set -eu

echo '#include "base/embed.h"'
n=0
for file in "$@"; do
	n=$((n + 1))
	printf 'static const char text_%d[] = {\n' "$n"
	od -An -v -tu1 "$file" | sed 's/[0-9][0-9]*/&,/g'
	printf '0};\n'
done
row() { printf '{ "%s", text_%d, sizeof(text_%d) - 1 }' "$(basename "$2")" "$1" "$1"; }
n=0
migrations=0
echo 'const struct embedded embedded_migrations[] = {'
for file in "$@"; do
	n=$((n + 1))
	case $file in
	migrations/[0-9]*) row "$n" "$file"; echo ,; migrations=$((migrations + 1)) ;;
	esac
done
printf '};\nconst size_t embedded_migrations_n = %d;\n' "$migrations"
n=0
for file in "$@"; do
	n=$((n + 1))
	case $file in
	migrations/functions.sql)
		printf 'const struct embedded embedded_functions = '; row "$n" "$file"; echo ';' ;;
	*/rubric.conf)
		printf 'const struct embedded embedded_rubric = '; row "$n" "$file"; echo ';' ;;
	*/session-prompt.txt)
		printf 'const struct embedded embedded_session_prompt = '; row "$n" "$file"; echo ';' ;;
	*/prompt.txt)
		printf 'const struct embedded embedded_prompt = '; row "$n" "$file"; echo ';' ;;
	esac
done
