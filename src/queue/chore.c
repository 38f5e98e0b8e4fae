/*
 * Chores: which rows a statement is sent for next, and what becomes of those that are refused. It
 * knows neither tables nor statements, sends nothing itself, and never waits.
 */
#include "queue/chore.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "pg/pgbinary.h"
#include "scoreboard/trouble.h"

#define ASIDE_MS 60000			/* after a refusal */
#define LOCKED_FIRST_MS 1000		/* after a lock in vain; then twice, up to ASIDE_MS */
#define LOCKED_SAID_MS 8000		/* such a pause is worth a word */
#define UNPROVEN_FIRST_MS 4000		/* after refusals that may be all's; then as with locks */
#define UNPROVEN_MAX_MS 8000		/* where an operator can end them for all at once */
#define SAID_A_MINUTE 10		/* rows that the log names, at most */

enum outcome_of_row { GONE, DONE, DONE_FAILED, LOCKED, REFUSED };

void chore_init(struct chore *c, const struct chore_kind *kind, void *arg, struct slot *slot)
{
	*c = (struct chore){ .kind = kind, .arg = arg, .slot = slot };
	rowset_init(&c->set, kind->batch);
}

static struct chore_row *of(struct rowset_row *row)
{
	return (struct chore_row *)row;		/* its first member */
}

static void forget_row(struct chore *c, struct chore_row *row)
{
	rowset_remove(&c->set, &row->row);
	free(row);
	c->n--;
}

void chore_free(struct chore *c)
{
	struct rowset_row *row;

	while ((row = TAILQ_FIRST(&c->set.rows)))
		forget_row(c, of(row));
	spared_free(&c->spared);
}

/* ---- rows come ---- */

static bool is_in_set(const struct chore *c, uint64_t name)
{
	struct rowset_row *row;

	TAILQ_FOREACH(row, &c->set.rows, link)
		if (of(row)->name == name)
			return true;
	return false;
}

/*
 * One that was tried in vain makes room: it will be found again. So what nobody can be blamed for
 * does not keep the rows behind it out.
 */
static bool make_room(struct chore *c)
{
	struct rowset_row *row;

	if (c->n < CHORE_ROWS_MAX)
		return true;
	TAILQ_FOREACH(row, &c->set.rows, link)
		if (row->tried && !row->sent) {
			forget_row(c, of(row));
			return true;
		}
	return false;
}

struct chore_row *chore_add(struct chore *c, const char *id, const char *kin)
{
	uint64_t name = spared_name(id);
	const struct spared_row *known = spared_find(&c->spared, name, now_ms());
	struct chore_row *row;

	if (spared_waits(known, now_ms()) || is_in_set(c, name) || !make_room(c))
		return NULL;
	row = xcalloc(1, c->kind->row_size);
	row->name = name;
	snprintf(row->id, sizeof(row->id), "%s", id);
	row->row.convicted = known && known->alone;
	rowset_add(&c->set, &row->row, kin);
	c->n++;
	return row;
}

/* ---- rows that are refused ---- */

static void log_once(struct chore *c, const struct chore_row *row, const struct err *err)
{
	int64_t now = now_ms();

	if (now - c->said_since_ms > ASIDE_MS) {
		c->said_since_ms = now;
		c->nsaid = 0;
	}
	if (c->nsaid++ < SAID_A_MINUTE)
		log_warn("%s %s cannot be %s: %s; it is left alone and tried again later",
			 c->kind->what, row->id, c->kind->doing, err->text);
	else if (c->nsaid == SAID_A_MINUTE + 1)
		log_warn("more %ss cannot be %s and are left alone; they are counted in "
			 "rows_refused_total", c->kind->what, c->kind->doing);
	trouble_say(err->text);
}

static bool is_of_lock(const struct err *err)
{
	return strcmp(err->sqlstate, "55P03") == 0;
}

static void say(struct chore *c, const struct chore_row *row, struct spared_row *known,
		const struct err *err)
{
	refused_put(&c->slot->refused, c->kind->statement, row->id, err, now_ms(),
		    known->until_ms);
	if (known->said)
		return;
	known->said = true;
	slot_count(c->slot, COUNTER_ROWS_REFUSED, 1);
	log_once(c, row, err);
}

static struct spared_row *spare(struct chore *c, struct chore_row *row, int64_t first_ms,
				int64_t most_ms, const struct err *err)
{
	struct spared_row *known = spared_put(&c->spared, row->name, first_ms, most_ms, now_ms());

	if (!is_of_lock(err) || known->pause_ms >= LOCKED_SAID_MS)
		say(c, row, known, err);
	forget_row(c, row);
	return known;
}

/* A lock may be gone in a moment: such a row is not left alone for a minute at once. */
static int64_t set_aside(struct chore *c, struct chore_row *row, const struct err *err,
			 bool alone)
{
	int64_t first_ms = is_of_lock(err) ? LOCKED_FIRST_MS : ASIDE_MS;
	struct spared_row *known = spare(c, row, first_ms, ASIDE_MS, err);

	known->alone = alone;
	return known->pause_ms;
}

/* One waited for a lock in vain; those that may hang on the same one are spared the same wait. */
static void set_aside_kin(struct chore *c, uint64_t kin, int64_t pause_ms)
{
	struct rowset_row *row = TAILQ_FIRST(&c->set.rows), *next;

	for (; row; row = next) {
		next = TAILQ_NEXT(row, link);
		if (row->kin != kin || row->sent)
			continue;
		spared_put(&c->spared, of(row)->name, pause_ms, pause_ms, now_ms())->alone = true;
		forget_row(c, of(row));
	}
}

static void guilty(struct chore *c, struct chore_row *row, const struct err *err)
{
	uint64_t kin = row->row.kin;
	int64_t pause_ms = set_aside(c, row, err, true);

	if (is_of_lock(err))
		set_aside_kin(c, kin, pause_ms);
}

/* A full disk, a shutdown, a standby: no row's. But a statement may take too long for one row. */
static bool is_of_rows(const char *sqlstate)
{
	static const char *const whole[] = { "25", "53", "57", "58", NULL };

	for (int i = 0; whole[i]; i++)
		if (strncmp(sqlstate, whole[i], 2) == 0)
			return strcmp(sqlstate, "57014") == 0;
	return true;
}

static bool all_were_tried(const struct chore *c)
{
	const struct rowset_row *row;

	TAILQ_FOREACH(row, &c->set.rows, link)
		if (!row->tried)
			return false;
	return true;
}

/*
 * Nothing is left in the set that could prove this row guilty by succeeding. Whoever it is, it has
 * no company to hold up; so it is named, but tried again sooner than the guilty. The last one takes
 * what the set makes of it along, so that the next row to come is not taken for one more of them.
 */
static void failed_unproven(struct chore *c, struct chore_row *row, const struct err *err)
{
	int64_t most_ms = err->kind == ERR_CONFIG ? UNPROVEN_MAX_MS : ASIDE_MS;

	row->failed_alone++;
	if (!is_of_rows(err->sqlstate) || !all_were_tried(c) || row->failed_alone < 2)
		return;
	spare(c, row, is_of_lock(err) ? LOCKED_FIRST_MS : UNPROVEN_FIRST_MS, most_ms, err)->alone =
		true;
	if (c->n == 0)
		rowset_init(&c->set, c->kind->batch);
}

static void heed(struct chore *c, enum rowset_verdict verdict, struct chore_row *first,
		 const struct err *err)
{
	switch (verdict) {
	case ROWSET_AGAIN:
		break;
	case ROWSET_SPLIT:
	case ROWSET_WAITS:
		log_debug("%s; trying it with fewer", err->text);
		break;
	case ROWSET_GUILTY:
		guilty(c, first, err);
		break;
	case ROWSET_TROUBLE:
		log_error("%s; no %s can be %s: trying one after the other until one can",
			  err->text, c->kind->what, c->kind->doing);
		trouble_say(err->text);
		break;
	case ROWSET_TROUBLE_STILL:
		break;
	}
}

static bool proves_something(const struct err *err)
{
	return err->kind != ERR_LOST && strncmp(err->sqlstate, "40", 2) != 0;
}

static void failed(struct chore *c, struct chore_row *first, int n, const struct err *err)
{
	enum rowset_verdict verdict;

	/* It was proven guilty before, and has just shown that it still is. */
	if (n == 1 && first->row.convicted && proves_something(err)) {
		rowset_again(&c->set);
		guilty(c, first, err);
		return;
	}
	verdict = rowset_failed(&c->set, err, now_ms());
	heed(c, verdict, first, err);
	if (n == 1 && verdict != ROWSET_GUILTY && verdict != ROWSET_AGAIN)
		failed_unproven(c, first, err);
}

/* ---- answers ---- */

static int read_outcome(const char *word)
{
	static const char *const words[] = {
		[DONE] = "done", [DONE_FAILED] = "failed", [LOCKED] = "locked",
		[REFUSED] = "refused",
	};

	for (int i = DONE; i <= REFUSED; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

static void read_outcomes(struct chore *c, const PGresult *result, int n)
{
	for (int i = 0; i < n; i++)
		c->sent[i]->outcome = GONE;
	for (int row = 0; row < PQntuples(result); row++) {
		bool ours = PQnfields(result) == 2;
		int64_t place = ours ? pgvalue_int8(result, row, 0) : 0;
		int outcome = ours ? read_outcome(PQgetvalue(result, row, 1)) : -1;

		if (place < 1 || place > n || outcome == -1)
			fatal("statement `%s` was answered with another statement's rows; a pooler "
			      "may be mixing answers up", c->kind->statement);
		c->sent[place - 1]->outcome = outcome;
	}
}

/* It leaves the set before the others are told of their success. */
static void passed_over(struct chore *c, struct chore_row *row)
{
	struct err err;

	if (row->outcome == LOCKED) {
		err_set(&err, ERR_RETRY, "statement `%s`: somebody has locked the row",
			c->kind->statement);
		memcpy(err.sqlstate, "55P03", sizeof(err.sqlstate));
	} else {
		err_set(&err, ERR_PERMANENT, "statement `%s`: a trigger swallows the change without "
			"an error", c->kind->statement);
	}
	set_aside(c, row, &err, false);
}

static void forget_done(struct chore *c, struct chore_row *row)
{
	const struct spared_row *known = spared_find(&c->spared, row->name, now_ms());

	if (known && known->said)
		refused_drop(&c->slot->refused, c->kind->statement, row->id);
	spared_drop(&c->spared, row->name, now_ms());
	free(row);
	c->n--;
}

static void succeeded(struct chore *c, const PGresult *result, int n)
{
	int done = 0, nfailed = 0, left = 0;
	int64_t troubled_ms;

	read_outcomes(c, result, n);
	for (int i = 0; i < n; i++) {
		struct chore_row *row = c->sent[i];

		done += row->outcome == DONE || row->outcome == DONE_FAILED;
		nfailed += row->outcome == DONE_FAILED;
		if (row->outcome == LOCKED || row->outcome == REFUSED)
			passed_over(c, row);
		else
			c->sent[left++] = row;
	}
	troubled_ms = rowset_succeeded(&c->set, now_ms());
	if (troubled_ms >= 0)
		log_info("%ss can be %s again, after %" PRId64 " ms", c->kind->what,
			 c->kind->doing, troubled_ms);
	for (int i = 0; i < left; i++)
		forget_done(c, c->sent[i]);
	if (done > 0)
		c->kind->done(c->arg, done, nfailed);
}

static void on_answer(void *arg, const PGresult *result, const struct err *err)
{
	struct chore *c = arg;
	int n = c->nsent;

	c->nsent = 0;
	if (err)
		failed(c, c->sent[0], n, err);
	else
		succeeded(c, result, n);
	c->kind->go_on(c->arg);
}

/* ---- turns ---- */

static void take(struct chore *c, int64_t now)
{
	struct rowset_row *row;

	while (c->nsent < c->kind->batch && (row = rowset_offer(&c->set))) {
		rowset_take(&c->set, row, now);
		c->sent[c->nsent++] = of(row);
	}
}

int64_t chore_turn(struct chore *c)
{
	int64_t now = now_ms(), wait;

	if (c->nsent > 0)
		return -1;
	wait = rowset_begin(&c->set, c->kind->batch, now);
	if (wait != 0)
		return wait;
	take(c, now);
	if (c->kind->send(c->arg, c->sent, c->nsent, on_answer, c) == -1) {
		rowset_again(&c->set);
		c->nsent = 0;
	}
	return -1;
}

bool chore_is_busy(struct chore *c)
{
	return c->nsent > 0 || rowset_begin(&c->set, c->kind->batch, now_ms()) == 0;
}

bool chore_wants_company(const struct chore *c)
{
	return c->nsent == 0 && c->set.refusals > 0 && c->n < CHORE_ROWS_MAX / 2;
}

int64_t chore_look_again_ms(const struct chore *c)
{
	return spared_next_ms(&c->spared, now_ms());
}
