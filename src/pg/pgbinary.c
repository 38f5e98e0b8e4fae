/*
 * The wire's binary format, written and read; pure. The manual leaves it to the server's send and
 * receive functions (src/backend/utils/adt of PostgreSQL: array_recv(), jsonb_recv(), uuid_recv()):
 * numbers are big-endian, text is bare, jsonb is a version and text.
 */
#include "pg/pgbinary.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stddef.h>
#include <string.h>

#define JSONB_VERSION 1

/* An array of one dimension opens with these; its items follow, each with its length (-1: null). */
struct array_header { uint32_t dimensions, has_null, type, n, lower_bound; };

void pgbinary_int4(struct buf *b, int32_t value)
{
	uint32_t wire = htonl((uint32_t)value);

	buf_add(b, &wire, sizeof(wire));
}

void pgbinary_int8(struct buf *b, int64_t value)
{
	uint64_t wire = htobe64((uint64_t)value);

	buf_add(b, &wire, sizeof(wire));
}

void pgitems_begin(struct buf *b, enum pg_type type)
{
	struct array_header header = { htonl(1), 0, htonl(type), 0, htonl(1) };

	buf_reset(b);
	buf_add(b, &header, sizeof(header));
}

/* Counts an item and writes its length. */
static void begin_item(struct buf *b, int32_t len)
{
	uint32_t n, yes = htonl(1);

	if (!buf_ok(b))
		return;
	memcpy(&n, b->data + offsetof(struct array_header, n), sizeof(n));
	n = htonl(ntohl(n) + 1);
	memcpy(b->data + offsetof(struct array_header, n), &n, sizeof(n));
	if (len == -1)
		memcpy(b->data + offsetof(struct array_header, has_null), &yes, sizeof(yes));
	pgbinary_int4(b, len);
}

void pgitem_null(struct buf *b)
{
	begin_item(b, -1);
}

void pgitem_bool(struct buf *b, bool value)
{
	begin_item(b, 1);
	buf_char(b, value);
}

void pgitem_int4(struct buf *b, int32_t value)
{
	begin_item(b, sizeof(value));
	pgbinary_int4(b, value);
}

void pgitem_int8(struct buf *b, int64_t value)
{
	begin_item(b, sizeof(value));
	pgbinary_int8(b, value);
}

void pgitem_text(struct buf *b, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	begin_item(b, text ? (int32_t)len : -1);
	buf_add(b, text, len);
}

void pgitem_jsonb(struct buf *b, const char *json)
{
	size_t len = json ? strlen(json) : 0;

	begin_item(b, json ? (int32_t)len + 1 : -1);
	if (!json)
		return;
	buf_char(b, JSONB_VERSION);
	buf_add(b, json, len);
}

void pgitem_uuid_bytes(struct buf *b, const unsigned char bytes[UUID_BYTES])
{
	begin_item(b, UUID_BYTES);
	buf_add(b, bytes, UUID_BYTES);
}

void pgitem_uuid(struct buf *b, const char *uuid)
{
	unsigned char bytes[UUID_BYTES];

	if (!uuid) {
		begin_item(b, -1);
		return;
	}
	uuid_bytes(uuid, bytes);
	pgitem_uuid_bytes(b, bytes);
}

void pgitems_drop_nulls(struct buf *b)
{
	struct array_header header;
	size_t nulls;

	if (!buf_ok(b))
		return;
	memcpy(&header, b->data, sizeof(header));
	nulls = ntohl(header.n) * sizeof(uint32_t);	/* a null is a length of -1, no more */
	if (!header.has_null || b->len != sizeof(header) + nulls)
		return;
	for (size_t i = sizeof(header); i < b->len; i++)
		if (b->data[i] != '\xff')
			return;
	pgitems_begin(b, ntohl(header.type));
}

bool pgvalue_bool(const PGresult *result, int row, int column)
{
	return PQgetvalue(result, row, column)[0] != 0;
}

int32_t pgvalue_int4(const PGresult *result, int row, int column)
{
	uint32_t wire = 0;

	if (PQgetlength(result, row, column) == sizeof(wire))
		memcpy(&wire, PQgetvalue(result, row, column), sizeof(wire));
	return (int32_t)ntohl(wire);
}

int64_t pgvalue_int8(const PGresult *result, int row, int column)
{
	uint64_t wire = 0;

	if (PQgetlength(result, row, column) == sizeof(wire))
		memcpy(&wire, PQgetvalue(result, row, column), sizeof(wire));
	return (int64_t)be64toh(wire);
}

void pgvalue_uuid(const PGresult *result, int row, int column, char out[UUID_SIZE])
{
	out[0] = '\0';
	if (PQgetlength(result, row, column) == UUID_BYTES)
		uuid_text((const unsigned char *)PQgetvalue(result, row, column), out);
}
