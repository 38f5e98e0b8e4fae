/*
 * Which types the columns of tables may have that an application made, where our statements and
 * functions name them. Pure: who asks the database for the types reads them by this.
 */
#ifndef ADOPTED_H
#define ADOPTED_H

#include <stdbool.h>
#include <stddef.h>

/* The columns that there are: table, column, and type; of a domain the one below it. */
#define ADOPTED_COLUMNS_SQL \
	"SELECT c.relname::text, a.attname::text, format_type(CASE t.typtype" \
	" WHEN 'd'::\"char\" THEN t.typbasetype ELSE t.oid END, NULL::integer)::text" \
	" FROM pg_catalog.unnest(ARRAY['grading_jobs'::text, 'phrase_cache'::text]) AS name" \
	" JOIN pg_class c ON c.oid = to_regclass(name)::oid" \
	" JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0::smallint" \
	" AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid ORDER BY c.relname, a.attnum"

enum { ADOPTED_TABLE, ADOPTED_COLUMN, ADOPTED_TYPE };

/*
 * Whether we can do with a column of that type. Where not, text says of which table and column, and
 * what to do.
 */
bool adopted_fits(const char *table, const char *column, const char *type, char *text,
		  size_t size);

#endif
