/* The cursor of an export as a text. Pure; gradingctl only. It asks no database. */
#include "export_cursor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORM "x1"		/* of another form are the cursors of another release */

void export_cursor_text(const struct export_cursor *c, char text[EXPORT_CURSOR_SIZE])
{
	int n = snprintf(text, EXPORT_CURSOR_SIZE, FORM ".%" PRId64 ".%" PRId64 ".%" PRId64
			 ".%s.%" PRId64, c->cluster, c->from, c->to, c->session, c->line);

	if (c->since_us != EXPORT_EVER)
		snprintf(text + n, EXPORT_CURSOR_SIZE - (size_t)n, ".%" PRId64, c->since_us);
}

/* A number behind a dot; *at is moved behind it. */
static int read_number(const char **at, int64_t min, int64_t *number)
{
	char *end;

	if (**at != '.' || (*at)[1] == '\0' || strchr(" \t\n\v\f\r+", (*at)[1]))
		return -1;
	errno = 0;
	*number = strtoll(*at + 1, &end, 10);
	if (errno || end == *at + 1 || *number < min)
		return -1;
	*at = end;
	return 0;
}

static int read_uuid(const char **at, char uuid[UUID_SIZE])
{
	unsigned char bytes[UUID_BYTES];
	char again[UUID_SIZE];

	if (**at != '.' || strlen(*at + 1) < UUID_SIZE - 1)
		return -1;
	memcpy(uuid, *at + 1, UUID_SIZE - 1);
	uuid[UUID_SIZE - 1] = '\0';
	uuid_bytes(uuid, bytes);
	uuid_text(bytes, again);
	*at += UUID_SIZE;
	return strcmp(uuid, again) == 0 ? 0 : -1;
}

int export_cursor_read(const char *text, struct export_cursor *c)
{
	const char *at = text + strlen(FORM);

	c->since_us = EXPORT_EVER;
	if (strncmp(text, FORM, strlen(FORM)) != 0 ||
	    read_number(&at, INT64_MIN, &c->cluster) == -1 ||
	    read_number(&at, 0, &c->from) == -1 || read_number(&at, c->from, &c->to) == -1 ||
	    read_uuid(&at, c->session) == -1 || read_number(&at, -1, &c->line) == -1 ||
	    c->line > INT32_MAX)
		return -1;
	if (*at && read_number(&at, INT64_MIN, &c->since_us) == -1)
		return -1;
	return *at ? -1 : 0;
}
