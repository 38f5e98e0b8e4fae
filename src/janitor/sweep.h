/*
 * A chore of the janitor's, from looking for rows to the last of them: a small statement finds rows
 * page by page, another one is carried out for exactly these (queue/chore.h), and the next page is
 * asked for when nothing is left to do for the one before, whatever became of its rows, or when
 * those are refused.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include "queue/chore.h"
#include "statement.h"

#define SWEEP_PAGE 1000			/* rows that a look brings, at most */

struct sweep_kind {
	enum statement_id find, act;
	const char *what, *doing;	/* "job", "put back" */
	size_t row_size;
	int batch;
	int64_t pause_ms;		/* after each statement, so that claims go first */
	/* The parameters of `find`, from where the part stands. */
	void (*ask)(void *arg, struct buf *p);
	/* Adds the rows to the chore. Returns whether there may be more behind them. */
	bool (*found)(void *arg, const PGresult *result);
	/* The parameters of `act` for these n rows. */
	void (*put)(void *arg, struct buf *p, struct chore_row *const *rows, int n);
	void (*done)(void *arg, int n, int nfailed);
};

struct sweep {
	struct maintenance *m;
	const struct sweep_kind *kind;
	void *arg;
	struct chore_kind chore_kind;
	struct chore chore;
	bool finding;			/* a look is on its way */
	bool progress;			/* the last statement has done something */
	bool more;			/* its next page is to follow */
	bool wanted;			/* a look from the start is to follow */
	struct loop_timer turn_timer, look_timer;
};

void sweep_init(struct sweep *s, struct maintenance *m, const struct sweep_kind *kind, void *arg);
void sweep_free(struct sweep *s);
/* Looks for rows, and goes on until all is done. May be repeated. For timers: arg is s. */
void sweep_look(void *s);
/* There is something that it does now or would, were the connection free. */
bool sweep_is_busy(struct sweep *s);

/* Where a look that goes by ids stands. Zeroed: at the beginning. */
struct sweep_place { unsigned char id[UUID_BYTES]; };

void sweep_place_put(const struct sweep_place *place, struct buf *p);
/* Behind the page in result, whose ids are in that column. Returns whether a page is left. */
bool sweep_place_move(struct sweep_place *place, const PGresult *result, int column);

#endif
