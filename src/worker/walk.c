/*
 * The walk through places that claims pass. Runs in workers, in one of a host at a time; it sends
 * no claim, and knows no job but by its place.
 *
 * What comes into the queue before a pass (a commit that came late, a row that somebody made
 * pending again) is found by the next round, which begins within a poll. A round ends when all
 * places have been looked at; it does not wait for those that are still being tried.
 */
#include "walk.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/uuid.h"
#include "scoreboard/pass.h"
#include "scoreboard/trouble.h"
#include "refusal.h"

#define SHARE 12		/* a twelfth of the time is for what is refused, while others wait */
#define PROBES 200		/* that share a pause while nothing at all can be claimed */
#define SUSPICION_MS 120000	/* with locks that are waited for it takes long to try all */
#define SLOW_MS 50		/* a success that takes so long, or is of so few jobs, is held to */
#define FEW 16			/* that, too */
#define PATIENCE_MAX_MS 200
#define PATIENCE_MIN_MS 3	/* where lock after lock is not given */
#define UNPROVEN_MS 10000	/* nobody else was claimed meanwhile: it is tried again so soon */
#define PAUSE_MS 1000		/* after trouble of the database's own */
#define SAID_MAX 20		/* jobs named in the log in so long, and the others counted */
#define SAID_MS 60000

static struct scoreboard *board(const struct walk *w)
{
	return context_scoreboard(w->ctx);
}

static struct asides *asides(const struct walk *w)
{
	return &board(w)->asides;
}

/* ---- who is refused ---- */

static void say(struct walk *w, const char *id, const struct err *err, int64_t now)
{
	if (now - w->said_since_ms >= SAID_MS) {
		if (w->unsaid > 0)
			log_error("%d more jobs cannot be claimed", w->unsaid);
		w->said = w->unsaid = 0;
		w->said_since_ms = now;
	}
	if (w->said++ >= SAID_MAX) {
		w->unsaid++;
		return;
	}
	log_error("job %s cannot be claimed, and is left alone for %d s: %s", id,
		  WALK_AGAIN_MS / 1000, err->text);
	trouble_say(err->text);
}

/* It is left alone for a while; said the first time. Without room the next round finds it. */
static void set_aside(struct walk *w, const unsigned char id[UUID_BYTES], const struct err *err,
		      int64_t now, int64_t for_ms)
{
	bool known = aside_has(asides(w), id);
	char text[UUID_SIZE];

	uuid_text(id, text);
	refused_put(&context_slot(w->ctx)->refused, ASIDE_STATEMENT, text, err, now, now + for_ms);
	if (!aside_put(asides(w), id, now + for_ms))
		return;
	if (w->next_due_ms < 0 || now + for_ms < w->next_due_ms)
		w->next_due_ms = now + for_ms;
	if (!known)
		say(w, text, err, now);
}

static void no_longer_aside(struct walk *w, const unsigned char id[UUID_BYTES])
{
	char text[UUID_SIZE];

	uuid_text(id, text);
	refused_drop(&context_slot(w->ctx)->refused, ASIDE_STATEMENT, text);
	aside_drop(asides(w), id);
}

static void passed_over(struct walk *w, const unsigned char id[UUID_BYTES], int64_t now)
{
	struct err err;

	err_set(&err, ERR_PERMANENT, "a trigger on grading_jobs returns NULL instead of the row, so "
		"that nothing is changed and nothing is said");
	set_aside(w, id, &err, now, WALK_AGAIN_MS);
}

/* ---- rounds ---- */

static void forget_rows(struct walk *w)
{
	rowset_init(&w->set, WALK_TRY_MAX);
	rowset_set_pace(&w->set, PROBES, SUSPICION_MS);
	free(w->rows);
	w->rows = NULL;
	w->nthese = w->ndue = w->last_free = 0;
}

static void begin_class(struct walk *w, int at)
{
	w->at = at;
	w->from = (struct floor){ .available_at = INT64_MIN };	/* -infinity */
	if (at < w->region.n) {
		w->from.priority = w->region.at[at].priority;
		w->from.turn = w->region.at[at].turn;
	}
	w->looked = at >= w->region.n;
}

static void begin_round(struct walk *w, int64_t now)
{
	w->raised = pass_raised(board(w));
	w->found = false;
	w->next_round_ms = now + w->ctx->config->queue.poll_ms;
	pass_read(board(w), &w->region);
	begin_class(w, 0);
}

static void begin_walk(struct walk *w, int64_t now)
{
	w->ours = true;
	w->patience_ms = PATIENCE_MAX_MS;
	w->again_most = 1;
	w->next_due_ms = now;		/* what a predecessor set aside */
	forget_rows(w);
	w->rows = xcalloc(WALK_ROWS, sizeof(*w->rows));
	begin_round(w, now);
}

void walk_leave(struct walk *w)
{
	if (w->ours)
		pass_leave_walk(board(w), w->ctx->child->index);
	w->ours = false;
	forget_rows(w);
}

/* Claims begin at the floors again: those are too high for what was passed. */
static void end_passing(struct walk *w)
{
	aside_clear(asides(w));
	pass_end(board(w), w->raised);
	floors_forget(board(w));
	walk_leave(w);
}

/* Whether this worker is to walk now. */
static bool take_walk(struct walk *w, int64_t now, int64_t *wait)
{
	bool on = pass_is_on(board(w));

	*wait = on ? w->ctx->config->queue.poll_ms : -1;
	if (!on || !pass_take_walk(board(w), w->ctx->child->index)) {
		if (w->ours)
			walk_leave(w);
		return false;
	}
	if (!w->ours)
		begin_walk(w, now);
	return true;
}

static bool has_rows(const struct walk *w)
{
	return !TAILQ_EMPTY(&w->set.rows);
}

/* All places were looked at. What they held is claimed, set aside or being tried. */
static void end_round(struct walk *w, int64_t now)
{
	if (!has_rows(w) && !w->found) {
		end_passing(w);
		return;
	}
	if (!has_rows(w))
		pass_walked(board(w), w->raised);
	if (now >= w->next_round_ms || pass_raised(board(w)) != w->raised)
		begin_round(w, now);
}

/* ---- what comes next ---- */

static struct walk_row *free_row(struct walk *w)
{
	for (int i = 0; i < WALK_ROWS; i++) {
		struct walk_row *row = &w->rows[(w->last_free + i) % WALK_ROWS];

		if (row->row.added)
			continue;
		w->last_free = (int)(row - w->rows);
		return row;
	}
	return NULL;
}

static void hear_of_others(struct walk *w, int64_t now)
{
	uint64_t claimed = scoreboard_sum(board(w), COUNTER_JOBS_CLAIMED);

	if (claimed != w->witnessed)
		rowset_witnessed(&w->set, now);
	w->witnessed = claimed;
}

/* Jobs set aside whose time has come. Returns whether there are any. */
static bool find_due(struct walk *w, int64_t now)
{
	if (w->ndue == 0 && w->next_due_ms >= 0 && now >= w->next_due_ms)
		w->ndue = aside_due(asides(w), now, w->due, WALK_DUE, &w->next_due_ms);
	return w->ndue > 0;
}

static int64_t wait_for(int64_t at_ms, int64_t now)
{
	return at_ms > now ? at_ms - now : 0;
}

enum walk_step walk_next(struct walk *w, int64_t now, int64_t *wait)
{
	int64_t set_wait;

	if (!take_walk(w, now, wait))
		return WALK_REST;
	if (w->looked)
		end_round(w, now);
	if (!w->ours)
		return WALK_REST;	/* it is over */
	if (!w->looked && free_row(w))
		return WALK_LOOK;
	hear_of_others(w, now);
	set_wait = rowset_begin(&w->set, 1, now);
	*wait = wait_sooner(set_wait, find_due(w, now) ? 0 : -1);
	if (*wait == 0 && now >= w->not_before_ms)
		return WALK_TRY;
	if (*wait >= 0 && *wait < w->not_before_ms - now)
		*wait = w->not_before_ms - now;
	if (w->next_due_ms >= 0 && w->ndue == 0)
		*wait = wait_sooner(*wait, wait_for(w->next_due_ms, now));
	if (w->looked)
		*wait = wait_sooner(*wait, wait_for(w->next_round_ms, now));
	return WALK_REST;
}

int walk_look(struct walk *w, pg_answer_fn *answer, void *arg)
{
	return queue_walk(w->ctx->queue, WALK_PAGE, &w->from, &w->region.at[w->at], answer, arg);
}

static struct walk_row *row_of(struct rowset_row *row)
{
	return (struct walk_row *)((char *)row - offsetof(struct walk_row, row));
}

static int gather_rows(struct walk *w, int most, int64_t now)
{
	struct rowset_row *row;
	int n = 0;

	if (rowset_begin(&w->set, most, now) != 0)
		return 0;
	while (n < WALK_TRY_MAX && (row = rowset_offer(&w->set))) {
		struct walk_row *r = row_of(row);

		if (r->large && n > 0)
			continue;
		rowset_take(&w->set, row, now);
		w->sent[n] = r;
		w->these[n++] = r->place;
		if (r->large)
			break;
	}
	return n;
}

static int gather_due(struct walk *w, int most)
{
	int n = 0;

	if (most > w->again_most)
		most = w->again_most;
	while (w->ndue > 0 && n < most)
		memcpy(w->these[n++].id, w->due[--w->ndue], UUID_BYTES);
	return n;
}

int walk_gather(struct walk *w, int most, int64_t now)
{
	w->sent_ms = now;
	w->again = false;
	w->nthese = gather_rows(w, most, now);
	if (w->nthese > 0)
		return w->nthese;
	w->again = true;
	w->nthese = gather_due(w, most);
	return w->nthese;
}

/* ---- what was seen ---- */

static bool is_in_hand(const struct walk *w, const struct floor *place)
{
	for (int i = 0; i < WALK_ROWS; i++)
		if (w->rows[i].row.added &&
		    memcmp(w->rows[i].place.id, place->id, UUID_BYTES) == 0)
			return true;
	return false;
}

static void add_row(struct walk *w, struct walk_row *row, const struct floor *place, bool large)
{
	*row = (struct walk_row){ .place = *place, .large = large };
	rowset_add(&w->set, &row->row, NULL);
}

/* The next page begins at the first place for which there was no room, or behind the last. */
void walk_looked(struct walk *w, const PGresult *result)
{
	int n = result ? PQntuples(result) : 0;

	if (!result || !w->ours)
		return;
	for (int i = 0; i < n; i++) {
		struct walk_row *row = free_row(w);
		struct floor place;

		queue_place(result, i, &place);
		place.priority = w->from.priority;
		place.turn = w->from.turn;
		w->found = true;
		w->from = place;
		if (aside_has(asides(w), place.id) || is_in_hand(w, &place))
			continue;
		if (!row)
			return;
		add_row(w, row, &place, queue_place_is_large(result, i));
	}
	if (n == WALK_PAGE)
		w->from = pass_behind(&w->from);
	else
		begin_class(w, w->at + 1);
}

/* ---- what was tried ---- */

enum fate { FATE_ABSENT, FATE_PASSED_OVER, FATE_CLAIMED };

/* What became of each of w->these, by its place among them. */
static void tell_fates(const struct walk *w, const PGresult *result, enum fate *fates)
{
	struct claimed_row row;

	memset(fates, FATE_ABSENT, (size_t)w->nthese * sizeof(*fates));
	for (int i = 0; i < PQntuples(result); i++) {
		queue_claimed_row(result, i, &row);
		for (int k = 0; k < w->nthese; k++)
			if (memcmp(row.place.id, w->these[k].id, UUID_BYTES) == 0)
				fates[k] = row.passed_over ? FATE_PASSED_OVER : FATE_CLAIMED;
	}
}

static void say_over(int64_t troubled_ms)
{
	if (troubled_ms >= 0)
		log_info("jobs can be claimed again, after %" PRId64 " ms", troubled_ms);
}

/* Of those that somebody else has nothing was learnt. */
static void rows_answered(struct walk *w, const PGresult *result, int64_t now)
{
	enum fate fates[WALK_TRY_MAX];
	int claimed = 0;

	tell_fates(w, result, fates);
	for (int i = 0; i < w->nthese; i++) {
		claimed += fates[i] == FATE_CLAIMED;
		if (fates[i] == FATE_PASSED_OVER)
			passed_over(w, w->these[i].id, now);
		if (fates[i] != FATE_CLAIMED)
			rowset_remove(&w->set, &w->sent[i]->row);
	}
	if (claimed == 0)
		rowset_again(&w->set);
	else
		say_over(rowset_succeeded(&w->set, now));
}

static void due_answered(struct walk *w, const PGresult *result, int64_t now)
{
	enum fate fates[WALK_TRY_MAX];

	tell_fates(w, result, fates);
	for (int i = 0; i < w->nthese; i++)
		if (fates[i] == FATE_PASSED_OVER)
			passed_over(w, w->these[i].id, now);
		else
			no_longer_aside(w, w->these[i].id);
	if (w->again_most < WALK_DUE)
		w->again_most *= 2;
}

static void heed(struct walk *w, enum rowset_verdict verdict, const struct err *err, bool proven,
		 int64_t now)
{
	switch (verdict) {
	case ROWSET_GUILTY:
		set_aside(w, w->these[0].id, err, now, proven ? WALK_AGAIN_MS : UNPROVEN_MS);
		break;
	case ROWSET_TROUBLE:
		log_warn("%s; the jobs that claims pass are tried one by one", err->text);
		trouble_say(err->text);
		break;
	case ROWSET_AGAIN:
	case ROWSET_SPLIT:
	case ROWSET_WAITS:
	case ROWSET_TROUBLE_STILL:
		break;
	}
}

/* Whatever refuses a row may refuse it for good, which is what the kind says to the set. */
static void rows_refused(struct walk *w, const struct err *err, int64_t now)
{
	struct err of_row = *err;
	bool proven;

	of_row.kind = ERR_PERMANENT;
	proven = !w->set.troubled;
	heed(w, rowset_failed(&w->set, &of_row, now), err, proven, now);
}

static void due_refused(struct walk *w, const struct err *err, int64_t now)
{
	if (w->nthese == 1)
		set_aside(w, w->these[0].id, err, now, WALK_AGAIN_MS);
	else
		w->next_due_ms = now;		/* they are found again */
	w->again_most = 1;
}

/* Where lock after lock is not given, each is waited for less long. */
static void learn_patience(struct walk *w, bool was_locked)
{
	w->patience_ms = was_locked ? w->patience_ms / 2 : w->patience_ms * 2;
	if (w->patience_ms < PATIENCE_MIN_MS)
		w->patience_ms = PATIENCE_MIN_MS;
	if (w->patience_ms > PATIENCE_MAX_MS)
		w->patience_ms = PATIENCE_MAX_MS;
}

static void failed(struct walk *w, const struct err *err, int64_t now)
{
	if (refusal_of_row(err) || refusal_lost_to_others(err)) {
		learn_patience(w, refusal_by_lock(err));
		if (w->again)
			due_refused(w, err, now);
		else
			rows_refused(w, err, now);
		return;
	}
	if (!w->again)
		rowset_again(&w->set);
	w->next_due_ms = now;
	w->not_before_ms = now + PAUSE_MS;
}

void walk_tried(struct walk *w, const PGresult *result, const struct err *err, int64_t now,
		bool others)
{
	int64_t took = now - w->sent_ms;

	if (!w->ours)
		return;			/* the walk was left meanwhile, and its rows with it */
	if (others && (err || took >= SLOW_MS || w->nthese < FEW))
		w->not_before_ms = now + took * (SHARE - 1);
	if (err) {
		failed(w, err, now);
	} else {
		learn_patience(w, false);
		if (w->again)
			due_answered(w, result, now);
		else
			rows_answered(w, result, now);
	}
	w->nthese = 0;
}

/* ---- life ---- */

void walk_init(struct walk *w, const struct context *ctx)
{
	*w = (struct walk){ .ctx = ctx, .next_due_ms = -1 };
	forget_rows(w);
}

void walk_check(const struct walk *w)
{
	INVARIANT(w->nthese >= 0 && w->nthese <= WALK_TRY_MAX);
	INVARIANT(w->ours == (w->rows != NULL));
	INVARIANT(w->ndue >= 0 && w->ndue <= WALK_DUE);
	INVARIANT(w->set.nsent == 0 || w->set.nsent == w->nthese);
	INVARIANT(w->at <= w->region.n);
}
