/*
 * Every statement that the daemon runs, as one table: name, text with $n and casts, number of
 * parameters. It is made at build (src/queue/embed_sql.sh) from src/queue/sql, where NAME.sql holds
 * STATEMENT_NAME with its parameters; "make sql" prints them for psql.
 *
 * Each is one short transaction by itself, so it works behind a transaction pooler, and none is
 * open while a rater works; but for BEGIN to COMMIT, which enclose a claim and its settlement, on
 * a connection of our own and with a rater that answers at once. Locks are taken in one order
 * everywhere: grading_jobs, then phrase_cache by key (a statement's last data-modifying CTE that
 * nothing reads runs first), then grading_sessions by id, then line_ratings by key, then
 * grading_provenance by id, then session_gradings by session; phrase_flights by key, and nothing after it. Rows are named by =
 * ANY(array) also where a join would say it: for a plan made while the tables were empty, to read
 * them whole looks as cheap as to look a row up, and that plan may stay. now() is when a
 * transaction began, not in the order of commits: hence
 * least() and greatest() for the times of a session. Times are set and compared by the database's
 * clock alone.
 */
#ifndef STATEMENTS_H
#define STATEMENTS_H

#include "pg/pg.h"

enum statement_id {
	STATEMENT_BEGIN,	/* these two have no plan */
	STATEMENT_COMMIT,
	STATEMENT_CLAIM,	/* the workers' */
	STATEMENT_CLAIM_BRIEFLY,
	STATEMENT_CLAIM_THESE,
	STATEMENT_CLAIM_THESE_BRIEFLY,
	STATEMENT_PEEK,
	STATEMENT_WALK,
	STATEMENT_HOLD,
	STATEMENT_COMPLETE_HELD,
	STATEMENT_LOOKUP,
	STATEMENT_GRADED,
	STATEMENT_LEASE_KEYS,
	STATEMENT_RENEW_LEASES,
	STATEMENT_RELEASE_LEASES,
	STATEMENT_STORED,
	STATEMENT_COMPLETE,
	STATEMENT_SETTLE,
	STATEMENT_LOST,
	STATEMENT_RELEASE_LOST,
	STATEMENT_RELEASE_WAITING,
	STATEMENT_TICK,		/* the janitor's */
	STATEMENT_STUCK,
	STATEMENT_REAP,
	STATEMENT_LEFT_BEHIND,
	STATEMENT_RECOVER,
	STATEMENT_FORGET_FLIGHTS,
	STATEMENT_OLD_JOBS,
	STATEMENT_CLEAN_JOBS,
	STATEMENT_EXPIRED,
	STATEMENT_CLEAN_CACHE,
	STATEMENT_LAPSED,
	STATEMENT_CLEAN_FLIGHTS,
	STATEMENT_CLEAN_SESSIONS,
	STATEMENT_CLEAN_WEBHOOKS,
	STATEMENT_SETTINGS,
	STATEMENT_TENANTS,
	STATEMENT_SLEEP,
	STATEMENT_AWAKE,
	STATEMENT_MIRRORABLE,
	STATEMENT_MOVED,	/* the publisher's */
	STATEMENT_OPEN_SESSIONS,
	STATEMENT_MIRROR_CHANGES,
	STATEMENT_MIRROR,
	STATEMENT_MIRROR_REFUSED,
	STATEMENT_CAUGHT_UP,
	STATEMENT_WEBHOOK_REGISTER,
	STATEMENT_WEBHOOK_TAKE,
	STATEMENT_WEBHOOK_SETTLE,
	STATEMENT_WEBHOOK_DISABLE,
	STATEMENT_COUNT,
	STATEMENT_FIRST_PLANNED = STATEMENT_CLAIM,
	STATEMENT_FIRST_PUBLISHER = STATEMENT_MOVED
};

extern const struct statement statements[STATEMENT_COUNT];

/* The highest migration these statements rely on. */
#define SCHEMA_VERSION 101
#define NOTIFY_CHANNEL "grading_jobs"

#endif
