/*
 * Values in the wire's binary format, for statements' parameters and from their rows: what text
 * would cost to write, quote and parse is most of a short statement. Pure; children only.
 */
#ifndef PGBINARY_H
#define PGBINARY_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/uuid.h"

/*
 * Element types of arrays, by their fixed object identifiers (src/include/catalog/pg_type.dat of
 * PostgreSQL).
 */
enum pg_type {
	PG_BOOL = 16, PG_INT8 = 20, PG_INT4 = 23, PG_TEXT = 25, PG_TIMESTAMPTZ = 1184,
	PG_UUID = 2950, PG_JSONB = 3802
};

/* Parameters: a buf holds one value. (text: buf_str().) */
void pgbinary_int4(struct buf *b, int32_t value);
void pgbinary_int8(struct buf *b, int64_t value);

/* Arrays of one dimension: begin, then add. A NULL text or uuid becomes SQL null. */
void pgitems_begin(struct buf *b, enum pg_type type);
/*
 * Makes an array empty that holds nothing but nulls: beside longer ones, unnest() pads it with the
 * same.
 */
void pgitems_drop_nulls(struct buf *b);
void pgitem_null(struct buf *b);
void pgitem_bool(struct buf *b, bool value);
void pgitem_int4(struct buf *b, int32_t value);
void pgitem_int8(struct buf *b, int64_t value);
void pgitem_text(struct buf *b, const char *text);
void pgitem_jsonb(struct buf *b, const char *json);
void pgitem_uuid(struct buf *b, const char *uuid);	/* as uuid_text() writes it */
void pgitem_uuid_bytes(struct buf *b, const unsigned char bytes[UUID_BYTES]);

/* Columns. A null is false, 0 or -1 characters of text; ask PQgetisnull() where that matters. */
bool pgvalue_bool(const PGresult *result, int row, int column);
int32_t pgvalue_int4(const PGresult *result, int row, int column);
/* Also a timestamptz: microseconds since 2000-01-01. */
int64_t pgvalue_int8(const PGresult *result, int row, int column);
/* "" for a null. */
void pgvalue_uuid(const PGresult *result, int row, int column, char out[UUID_SIZE]);

#endif
