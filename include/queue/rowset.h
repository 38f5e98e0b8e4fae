/*
 * One statement over a set of rows, and which of them the database refuses: which rows are sent
 * next, who is proven guilty, when batches grow again. A pure state machine: it sends nothing,
 * logs nothing, has no clock of its own, and allocates nothing. Times are in ms, of any clock
 * that never goes back.
 *
 * Its owner embeds a struct rowset_row in each of its rows, adds those that are ready, and then,
 * over and over:
 *
 *	wait = rowset_begin(set, most, now);
 *	while ((row = rowset_offer(set)))
 *		if (it can go with those taken before)
 *			rowset_take(set, row, now);
 *	send the statement, and hand its answer to one of
 *	rowset_succeeded(), rowset_failed(), rowset_again()
 *
 * The rules:
 *  - A refused batch is sent again as two halves, until a row fails alone; as eight parts where
 *    the refusal took long, such as a wait for a lock. Rows that were never refused go in
 *    between, in batches that double with each success.
 *  - A row is guilty when it fails alone, another row's statement succeeds, and it fails alone
 *    again with the same error, all within 16 s (or as rowset_set_pace() says). The same error
 *    is the same SQLSTATE: texts name files, rows and values.
 *  - The same error for two rows alone, with no success between them, is trouble of the whole (a
 *    full disk, a missing right), unless that error was proven to be a row's in the last 30 s:
 *    nothing is set aside, and one row after the other is tried alone until one succeeds, those
 *    first that were not tried yet, from all over the set. Between two tries it pauses for 500 ms
 *    to 4 s, longer as the trouble lasts; while many rows were not tried yet up to 15 tries share
 *    such a pause (or as rowset_set_pace() says), with four times as long as a try takes between
 *    them.
 *  - Three refusals in a row, of batches of whatever size, are reason enough to try rows alone, so
 *    that a full disk is known for what it is within five statements.
 *  - Once all rows in the set were tried alone, a row that fails alone twice with the same error
 *    is guilty without anybody's success if that error is of its values (ERR_PERMANENT), or was
 *    proven to be a row's in the last 30 s. So where the database refuses all rows for their
 *    values, all are guilty, one by one.
 *  - A transaction that lost to others (SQLSTATE 40...) runs again as it was, three times in a
 *    row at most.
 *  - A row that failed alone and is not guilty waits for 500 ms to 8 s, twice as long each time.
 *    If it waits for others (not ERR_PERMANENT), its kin wait with it: rows that may hang on the
 *    same lock.
 *  - A lost connection teaches nothing.
 */
#ifndef ROWSET_H
#define ROWSET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"

#define ROWSET_ERRORS 4			/* remembered at a time */

/* Embedded in its owner's row, zeroed before it is first added. All of it is the set's. */
struct rowset_row {
	TAILQ_ENTRY(rowset_row) link;
	bool added;			/* it is in the set */
	bool sent;			/* it is part of the statement under way */
	bool convicted;			/* found guilty before: this is its last word */
	uint64_t kin;			/* equal for rows that may hang on the same lock */
	uint64_t batch;			/* rows of one refused half share it; 0: never refused */
	bool tried;			/* whether it ever failed alone */
	char suspected[ERR_SQLSTATE_SIZE];	/* SQLSTATE of its last failure alone */
	int64_t suspected_ms;		/* time of the first of its failures alone with that */
	uint64_t successes_then;	/* the set's `successes` at suspected_ms */
	int64_t failed_ms;		/* time of its last failure, or of its kin's */
	int64_t pause_ms;		/* how long it waits after failed_ms; 0: not at all */
};

TAILQ_HEAD(rowset_rows, rowset_row);

/* With which rows failed alone. */
struct rowset_error {
	char sqlstate[ERR_SQLSTATE_SIZE];
	uint64_t who;			/* kin of the last one that did; 0: a success came since */
	int64_t proven_until_ms;	/* until then it is known as a row's, not the whole's */
};

struct rowset {
	struct rowset_rows rows;	/* in the order of joining */
	int full;			/* rows in a batch, at most */
	int size;			/* rows in the next batch of those never refused */
	int nsent;			/* rows in the statement under way; 0: none is */
	int npausing;			/* rows with a pause */
	uint64_t last_batch, last_kin;	/* numbers given out */
	uint64_t successes;		/* statements that prove the database well */
	int refusals;			/* in a row, with no success between them */
	int splits;			/* in a row, of batches refused before */
	int reruns;			/* in a row */
	bool hurried;
	bool retried_last;		/* the last batch was one that was refused before */
	bool last_word_last;		/* the last statement was somebody's last word */
	uint32_t walk;			/* where among those not tried yet the next one is taken */
	int untried_per_probe, probes_max;	/* rowset_set_pace()'s */
	int64_t suspicion_ms;
	int64_t retry_not_before_ms;	/* rows with a pause leave the time until then to others */
	int64_t sent_ms;

	/* What rowset_offer() goes through. */
	struct rowset_row *next;
	struct rowset_row *only;	/* to be sent alone; NULL: all of `turn` */
	uint64_t turn;			/* the batch */
	int limit;

	struct rowset_error errors[ROWSET_ERRORS];
	int oldest_error;

	bool troubled;			/* it is the whole that is in trouble */
	char trouble[ERR_SQLSTATE_SIZE];
	int64_t troubled_since_ms, trouble_failed_ms, trouble_pause_ms;
};

/* What a refusal means for the rows that were sent. */
enum rowset_verdict {
	ROWSET_AGAIN,		/* they are sent again as they were */
	ROWSET_SPLIT,		/* they are sent again in smaller batches */
	ROWSET_WAITS,		/* the row that was sent alone waits behind the others */
	ROWSET_GUILTY,		/* the row that was sent alone is, and has left the set */
	ROWSET_TROUBLE,		/* the whole is in trouble, or has a new error: to be said */
	ROWSET_TROUBLE_STILL,	/* the same trouble as said before */
};

/* full: rows in a statement, at most, once all goes well. */
void rowset_init(struct rowset *set, int full);

/*
 * For a large set whose statements cost little. While the whole is in trouble `probes` tries share
 * a pause as long as there are so many rows that were not tried, and a row's two failures may lie
 * suspicion_ms apart.
 */
void rowset_set_pace(struct rowset *set, int probes, int64_t suspicion_ms);

/*
 * The row is ready. kin: whose lock it may wait for (a session's id, say), as others with the
 * same; NULL or "": nobody's. A row that was found guilty and is added again has its last word:
 * it is sent alone and next, but for one statement of others after each last word; if that fails
 * twice for its values it is guilty again; its success says nothing about others.
 */
void rowset_add(struct rowset *set, struct rowset_row *row, const char *kin);
/* Its owner has lost interest; a row that is not in the set is left alone. */
void rowset_remove(struct rowset *set, struct rowset_row *row);
/* A row that was found guilty waits behind the others instead, with its kin: its error may pass. */
void rowset_defer(struct rowset *set, struct rowset_row *row, int64_t now);

/*
 * Chooses what comes next, at most `most` rows. Returns 0 when there is something to offer; else
 * how long to wait, -1: until a row is added or an answer comes. What is offered and not taken
 * stays ready; what can never be taken is for the owner to remove.
 */
int64_t rowset_begin(struct rowset *set, int most, int64_t now);
/* The next row that may go with those taken so far; NULL: no more. */
struct rowset_row *rowset_offer(struct rowset *set);
/* The row offered last is part of the statement. */
void rowset_take(struct rowset *set, struct rowset_row *row, int64_t now);

/* They are done, and have left the set. Returns how long the trouble took that this ends, or -1. */
int64_t rowset_succeeded(struct rowset *set, int64_t now);
/*
 * A statement of the same kind over other rows succeeded elsewhere since the last call: that proves
 * the database as well as a success of this set does. Returns as rowset_succeeded().
 */
int64_t rowset_witnessed(struct rowset *set, int64_t now);
/* They were refused, all of them. */
enum rowset_verdict rowset_failed(struct rowset *set, const struct err *err, int64_t now);
/* Nothing was learnt: they are as they were. */
void rowset_again(struct rowset *set);

/* Whether the row makes way for others now, because it failed or the whole is in trouble. */
bool rowset_waits(const struct rowset *set, const struct rowset_row *row, int64_t now);
/* From now on no pause is longer than the shortest: the end is near. */
void rowset_hurry(struct rowset *set);

#endif
