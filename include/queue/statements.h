/* Every statement the daemon runs, as one table: name, text with $n and casts, number of parameters. */
#ifndef STATEMENTS_H
#define STATEMENTS_H

#include "pg/pg.h"

enum statement_id {
	STATEMENT_BEGIN,	/* these two have no plan */
	STATEMENT_COMMIT,
	STATEMENT_CLAIM,	/* queue.c packs and unpacks these */
	STATEMENT_CLAIM_BRIEFLY,
	STATEMENT_HOLD,
	STATEMENT_COMPLETE_HELD,
	STATEMENT_LOOKUP,
	STATEMENT_FLY,
	STATEMENT_STAY_ALOFT,
	STATEMENT_LAND,
	STATEMENT_STORED,
	STATEMENT_COMPLETE,
	STATEMENT_SETTLE,
	STATEMENT_DISOWN,
	STATEMENT_TICK,		/* janitor.c these */
	STATEMENT_REAP,
	STATEMENT_RECOVER,
	STATEMENT_CLEAN_JOBS,
	STATEMENT_CLEAN_CACHE,
	STATEMENT_SLEEP,
	STATEMENT_AWAKE,
	STATEMENT_COUNT,
	STATEMENT_FIRST_PLANNED = STATEMENT_CLAIM
};

extern const struct statement statements[STATEMENT_COUNT];

/* The highest migration these statements rely on. */
#define SCHEMA_VERSION 90
#define NOTIFY_CHANNEL "grading_jobs"

#endif
