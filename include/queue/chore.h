/*
 * A chore: one statement that is to be carried out for many rows, each known by its name, of which
 * some may refuse. Whoever wants it done finds the rows with a small statement of its own, adds
 * them, and takes turns; the chore sends the other statement for exactly these, and finds out with
 * a rowset whom the database refuses. A row that is refused is said once (log, `show errors`,
 * metrics), set aside for a minute and tried again when it is found again; the others go on. Runs
 * in children.
 *
 * The statement answers with a row (place bigint, outcome text) for each row that was sent and is
 * still there as it was: its place among those sent, from 1 on, and
 *	done	it is done
 *	failed	it is done, and the job has failed with that
 *	locked	somebody has locked it, so it was passed over
 *	refused	it was to be changed and is not: a trigger of the application swallowed it
 * A row without an answer is no longer as it was found: others were faster.
 */
#ifndef CHORE_H
#define CHORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/pg.h"
#include "queue/spared.h"
#include "queue/rowset.h"
#include "scoreboard/scoreboard.h"

#define CHORE_BATCH_MAX 500
#define CHORE_ROWS_MAX 4096		/* in the set at a time */

/* Its owner's rows begin with it, in row_size zeroed bytes. All of it is the chore's. */
struct chore_row {
	struct rowset_row row;
	uint64_t name;			/* of the whole id */
	char id[REFUSED_ID_SIZE];	/* cut */
	int outcome;
	int failed_alone;		/* so often, with nothing proven */
};

struct chore_kind {
	const char *statement;		/* its name */
	const char *what;		/* what a row is: "job" */
	const char *doing;		/* what is done with it: "put back" */
	size_t row_size;
	int batch;			/* rows in a statement at most; CHORE_BATCH_MAX bounds it */
	/* Sends it for n rows, as pg_send() does. */
	int (*send)(void *arg, struct chore_row *const *rows, int n, pg_answer_fn *answer,
		    void *answer_arg);
	/* So many are done, nfailed of them as failed; then, after each answer, go_on(). */
	void (*done)(void *arg, int n, int nfailed);
	void (*go_on)(void *arg);
};

struct chore {
	const struct chore_kind *kind;
	void *arg;
	struct slot *slot;		/* of this process: where what is refused is said */
	struct rowset set;
	int n;				/* rows in the set */
	struct chore_row *sent[CHORE_BATCH_MAX];
	int nsent;			/* 0: no statement is on its way */
	struct spared spared;
	int64_t said_since_ms;		/* the minute in which nsaid rows were logged */
	int nsaid;
};

void chore_init(struct chore *c, const struct chore_kind *kind, void *arg, struct slot *slot);
/* No statement may be on its way, or none that will still be answered. */
void chore_free(struct chore *c);

/*
 * A row that was found; kin: whose lock it may wait for, as with rowset_add(). Returns it, zeroed
 * but for the beginning, or NULL: it is in the set, left alone for now, or there is no room.
 */
struct chore_row *chore_add(struct chore *c, const char *id, const char *kin);

/*
 * Sends what is due, if no statement is on its way. Returns -1 when that, an answer or new rows
 * come first, else how long to wait for the next turn.
 */
int64_t chore_turn(struct chore *c);
/* A statement is on its way, or would be sent by a turn now. */
bool chore_is_busy(struct chore *c);
/*
 * Rows are refused, and it is not known yet whose fault that is: others beside them would tell, and
 * need not wait until it is. There is room for them.
 */
bool chore_wants_company(const struct chore *c);
/* How long until a row that is left alone is worth looking for; -1: none is. */
int64_t chore_look_again_ms(const struct chore *c);

#endif
