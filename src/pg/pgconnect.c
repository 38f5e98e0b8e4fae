/*
 * How a connection to Postgres begins: what we ask of libpq beside the conninfo, in which order its
 * hosts are tried, and how long an attempt may take. Used by children (pg.c) and gradingctl
 * (pgsync.c); it waits for nothing (but name resolution inside libpq) and keeps no state.
 */
#include "pgconnect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define CONNECT_TIMEOUT_MS 5000
#define CONNECT_TIMEOUT_MAX_S 300

/* "a,b,c" begun at its nth item: "b,c,a". A list of one stays one, as it is for all hosts. */
static char *rotated(const char *list, unsigned n)
{
	size_t len = strlen(list);
	char *out = xcalloc(len + 2, 1);
	const char *from = list;

	while (n-- > 0)
		from = strchr(from, ',') ? strchr(from, ',') + 1 : list;
	snprintf(out, len + 2, "%s%s%.*s", from, from > list ? "," : "",
		 from > list ? (int)(from - list) - 1 : 0, list);
	return out;
}

/* host, hostaddr and port, in the order in which they are to be tried; NULL as in the conninfo. */
#define HOST_LISTS 3
struct hosts { char *lists[HOST_LISTS]; unsigned n; };

static unsigned count_items(const char *list)
{
	unsigned n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}

/*
 * libpq goes on to the next host when one refuses, but not when one is silent: that is only noticed
 * by our own clock, for the attempt as a whole. So the next attempt begins with the next host.
 */
static void rotate_hosts(const char *conninfo, unsigned first_host, struct hosts *hosts)
{
	static const char *const keywords[HOST_LISTS] = { "host", "hostaddr", "port" };
	const char *lists[HOST_LISTS] = { NULL };
	PQconninfoOption *options = first_host ? PQconninfoParse(conninfo, NULL) : NULL;

	for (PQconninfoOption *o = options; o && o->keyword; o++)
		for (int i = 0; i < HOST_LISTS; i++)
			if (o->val && strcmp(o->keyword, keywords[i]) == 0)
				lists[i] = o->val;
	for (int i = 0; i < HOST_LISTS; i++)
		if (lists[i] && count_items(lists[i]) > hosts->n)
			hosts->n = count_items(lists[i]);
	for (int i = 0; i < HOST_LISTS && hosts->n > 1; i++)
		if (lists[i])
			hosts->lists[i] = rotated(lists[i], first_host % hosts->n);
	PQconninfoFree(options);
}

/*
 * Ours come first and the conninfo's own settings override them, but for the encoding. A peer that
 * vanishes without a word is noticed by keep-alive within about 25 s, or by TCP_USER_TIMEOUT.
 * connect_timeout counts in PQreset() alone.
 */
PGconn *pgconnect_start(const char *conninfo, const char *application_name, unsigned first_host)
{
	struct hosts hosts = { .n = 0 };
	PGconn *conn;

	rotate_hosts(conninfo, first_host, &hosts);
	const char *keys[] = { "fallback_application_name", "connect_timeout", "keepalives_idle",
		"keepalives_interval", "keepalives_count", "tcp_user_timeout", "dbname",
		"host", "hostaddr", "port", "client_encoding", NULL };
	const char *values[] = { application_name, "10", "10", "5", "3", "20000", conninfo,
		hosts.lists[0], hosts.lists[1], hosts.lists[2], "UTF8", NULL };
	conn = PQconnectStartParams(keys, values, 1);
	for (int i = 0; i < HOST_LISTS; i++)
		free(hosts.lists[i]);
	return conn;
}

/*
 * The conninfo's connect_timeout, which libpq heeds in its blocking calls alone. No end is not to
 * be had.
 */
int64_t pgconnect_timeout_ms(const char *conninfo)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	int s = 0;

	for (PQconninfoOption *o = options; o && o->keyword; o++)
		if (o->val && strcmp(o->keyword, "connect_timeout") == 0)
			s = atoi(o->val);
	PQconninfoFree(options);
	if (s <= 0)
		return CONNECT_TIMEOUT_MS;
	return s < CONNECT_TIMEOUT_MAX_S ? s * (int64_t)1000
					 : CONNECT_TIMEOUT_MAX_S * (int64_t)1000;
}
