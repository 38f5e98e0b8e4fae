/*
 * Whether a pooler stands between us and the database, which one, how it pools, and whether the
 * configuration goes with that. gradingctl doctor. A pooler does not say, so it is found out by
 * what it does.
 */
#include "doctor_pool.h"

#include <stdbool.h>
#include <string.h>

#include "pg/pgsync.h"

#define ROUNDS 6		/* of questions to both connections */
#define QUESTION_MS 5000	/* for one of them */

enum pooling { DIRECT, POOLS_SESSIONS, POOLS_TRANSACTIONS };

struct found {
	enum pooling pooling;
	const char *name;	/* the pooler's; "" for none */
};

/* The server process that answers right now; 0 when none does. */
static int server_pid(PGconn *conn)
{
	struct err err;
	PGresult *row = pgsync_query_within(conn, "SELECT pg_backend_pid()", 0, NULL, QUESTION_MS,
					    &err);
	int pid = row ? (int)pgsync_int(row, 0) : 0;

	PQclear(row);
	return pid;
}

/*
 * A session has its server for itself as long as it lasts. So two clients that are answered by one
 * server, or one that is answered by two, prove that transactions are pooled. Without such a proof
 * sessions probably are.
 */
static bool shares_servers(PGconn *one, PGconn *other)
{
	int first = server_pid(one);

	for (int i = 0; i < ROUNDS; i++) {
		int a = server_pid(one), b = server_pid(other);

		if (a == 0 || b == 0)
			return false;
		if (a == b || a != first)
			return true;
	}
	return false;
}

/* Only PgBouncer knows a database of this name, and who may not see it is told that he may not. */
static bool is_pgbouncer(const char *conninfo)
{
	const char *keys[] = { "dbname", "dbname", "connect_timeout", NULL };
	const char *values[] = { conninfo, "pgbouncer", "5", NULL };
	PGconn *conn = PQconnectdbParams(keys, values, 1);
	bool is = PQstatus(conn) == CONNECTION_OK || strstr(PQerrorMessage(conn), "not allowed");

	PQfinish(conn);
	return is;
}

/* Supabase's documents: a host of this name, and 6543 is the port that pools transactions. */
static bool is_supavisor(PGconn *conn)
{
	return strstr(PQhost(conn), "pooler.supabase.com") || strcmp(PQport(conn), "6543") == 0;
}

/*
 * conn was made from conninfo. Most poolers hand out keys of their own instead of the server's pid.
 */
static struct found look(const char *conninfo, PGconn *conn)
{
	struct found f = { PQbackendPID(conn) == server_pid(conn) ? DIRECT : POOLS_SESSIONS, "" };
	bool supavisor = is_supavisor(conn);
	struct err err;
	PGconn *other = pgsync_connect(conninfo, "gradingctl", &err);

	if ((other && shares_servers(conn, other)) ||
	    (supavisor && strcmp(PQport(conn), "6543") == 0))
		f.pooling = POOLS_TRANSACTIONS;
	PQfinish(other);
	if (f.pooling != DIRECT)
		f.name = supavisor		 ? "Supavisor"
			: is_pgbouncer(conninfo) ? "PgBouncer"
						 : "a pooler";
	return f;
}

#define SET_BOTH \
	"set database.pool_mode = \"transaction\", and database.listen_conninfo to a direct " \
	"connection (on Supabase: port 5432 of the database's own host)"

static void judge(struct doctor_report *r, const struct config *config, struct found f)
{
	bool transaction = config && config->database.pool_mode == POOL_MODE_TRANSACTION;
	bool listens = config && config->database.listen_conninfo[0];

	if (f.pooling == DIRECT && transaction)
		doctor_say(r, "pooler", DOCTOR_WARNING,
			   "set database.pool_mode = \"session\": it costs less",
			   "none, the connection is direct; but database.pool_mode is "
			   "\"transaction\"");
	else if (f.pooling == DIRECT)
		doctor_say(r, "pooler", DOCTOR_OK, NULL, "none, the connection is direct");
	else if (f.pooling == POOLS_SESSIONS && transaction)
		doctor_say(r, "pooler", DOCTOR_OK, NULL,
			   "%s; database.pool_mode is \"transaction\", which goes with any",
			   f.name);
	else if (f.pooling == POOLS_SESSIONS)
		doctor_say(r, "pooler", DOCTOR_WARNING,
			   "if it pools transactions after all, " SET_BOTH,
			   "%s, which seems to pool sessions", f.name);
	else if (!transaction)
		doctor_say(r, "pooler", config ? DOCTOR_ERROR : DOCTOR_WARNING, SET_BOTH,
			   "%s, in transaction mode%s", f.name,
			   config ? ", but database.pool_mode is \"session\": what a session sets "
				    "up is lost"
				  : "");
	else if (!listens)
		doctor_say(r, "pooler", DOCTOR_WARNING,
			   "set database.listen_conninfo to a direct connection, if there is one",
			   "%s, in transaction mode; without database.listen_conninfo new jobs "
			   "wait for the next queue.poll",
			   f.name);
	else
		doctor_say(r, "pooler", DOCTOR_OK, NULL, "%s, in transaction mode, as configured",
			   f.name);
}

static void check_listener(struct doctor_report *r, const char *conninfo)
{
	struct err err;
	PGconn *conn = pgsync_connect(conninfo, "gradingctl", &err);
	struct found f;

	if (!conn) {
		doctor_say(r, "listener", DOCTOR_ERROR,
			   "correct database.listen_conninfo; meanwhile jobs wait for queue.poll",
			   "%s", err.text);
		return;
	}
	f = look(conninfo, conn);
	if (f.pooling == POOLS_TRANSACTIONS)
		doctor_say(r, "listener", DOCTOR_ERROR,
			   "set database.listen_conninfo to a direct connection",
			   "database.listen_conninfo leads to %s in transaction mode, where LISTEN "
			   "hears nothing",
			   f.name);
	else
		doctor_say(r, "listener", DOCTOR_OK, NULL, "%s%s", f.name,
			   f.pooling == DIRECT ? "the connection is direct"
					       : ", which seems to pool sessions");
	PQfinish(conn);
}

void doctor_pooler(PGconn *conn, const char *conninfo, const struct config *config,
		   struct doctor_report *r)
{
	judge(r, config, look(conninfo, conn));
	if (config && config->database.listen_conninfo[0])
		check_listener(r, config->database.listen_conninfo);
}
