/*
 * Which rows of a set a statement is run for next, and what its failures prove. Runs in workers,
 * and wherever else a statement takes many rows; it touches neither database nor clock, and owns
 * no memory: its rows lie in their owner's.
 *
 * An example of what the second failure is for. A disk is full for a second: row 1 fails alone,
 * then row 2, with the same error, which makes it trouble of the whole; room is made, row 3
 * succeeds. Were a success after a failure enough, rows 1 and 2 would be guilty now. They are
 * tried again first, and succeed.
 */
#include "queue/rowset.h"

#include <string.h>

#include "base/fnv.h"

#define RERUNS 3			/* of a transaction that lost to others */
#define REFUSALS_SUSPICIOUS 3		/* in a row: it may be the whole */
#define SPLITS_DOWNWARD 3		/* in a row */
#define PAUSE_FIRST_MS 500
#define PAUSE_MAX_MS 8000		/* of a row */
#define TROUBLE_PAUSE_MAX_MS 4000	/* of the whole: so soon after its trouble work goes on */
#define UNTRIED_PER_PROBE 4		/* of those that share such a pause */
#define PROBES_MAX 15			/* that share such a pause */
#define PROBE_REST 4			/* between these, as a multiple of what the last took */
#define WALK_STEP UINT32_C(0x9e3779b9)	/* 2^32 / the golden ratio */
#define SLOW_MS 100			/* a refusal that takes so long keeps others waiting */
#define PARTS 2				/* of a batch that was refused */
#define PARTS_SLOW 8			/* where one more refusal costs more than a few successes */
#define SUSPICION_LASTS_MS 16000	/* between the two failures of a row that prove something */
#define PROOF_LASTS_MS 30000

void rowset_init(struct rowset *set, int full)
{
	*set = (struct rowset){
		.full = full, .size = full, .untried_per_probe = UNTRIED_PER_PROBE,
		.probes_max = PROBES_MAX, .suspicion_ms = SUSPICION_LASTS_MS,
	};
	TAILQ_INIT(&set->rows);
}

void rowset_set_pace(struct rowset *set, int probes, int64_t suspicion_ms)
{
	set->untried_per_probe = 1;
	set->probes_max = probes;
	set->suspicion_ms = suspicion_ms;
}

static int64_t at_least(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- rows ---- */

/* The highest bit parts it from the numbers of rows without kin. */
static uint64_t kin_of(const char *text)
{
	return fnv64_text(text) | UINT64_C(1) << 63;
}

static void set_pause(struct rowset *set, struct rowset_row *row, int64_t pause_ms)
{
	set->npausing += (pause_ms > 0) - (row->pause_ms > 0);
	row->pause_ms = pause_ms;
}

static void put_alone(struct rowset *set, struct rowset_row *row, int64_t failed_ms,
		      int64_t pause_ms)
{
	row->batch = ++set->last_batch;
	row->failed_ms = failed_ms;
	set_pause(set, row, pause_ms);
}

static void join(struct rowset *set, struct rowset_row *row)
{
	row->added = true;
	TAILQ_INSERT_TAIL(&set->rows, row, link);
}

/* What its kin wait for it need not find out for itself. */
static void wait_with_kin(struct rowset *set, struct rowset_row *row)
{
	const struct rowset_row *other;

	if (set->npausing == 0)
		return;
	TAILQ_FOREACH(other, &set->rows, link)
		if (other != row && other->kin == row->kin && other->pause_ms > 0) {
			put_alone(set, row, other->failed_ms, other->pause_ms);
			return;
		}
}

void rowset_add(struct rowset *set, struct rowset_row *row, const char *kin)
{
	bool convicted = row->convicted;

	*row = (struct rowset_row){ .convicted = convicted };
	row->kin = kin && kin[0] ? kin_of(kin) : ++set->last_kin;
	join(set, row);
	if (!convicted)
		wait_with_kin(set, row);
}

void rowset_remove(struct rowset *set, struct rowset_row *row)
{
	if (!row->added)
		return;
	if (set->next == row)
		set->next = TAILQ_NEXT(row, link);
	if (set->only == row)
		set->limit = 0;
	set_pause(set, row, 0);
	TAILQ_REMOVE(&set->rows, row, link);
	row->added = row->sent = false;
}

static int64_t longer(int64_t pause_ms)
{
	return pause_ms == 0 ? PAUSE_FIRST_MS : at_most(pause_ms * 2, PAUSE_MAX_MS);
}

static void make_wait(struct rowset *set, struct rowset_row *row, int64_t now, bool with_kin)
{
	struct rowset_row *other;

	put_alone(set, row, now, longer(row->pause_ms));
	if (!with_kin)
		return;
	TAILQ_FOREACH(other, &set->rows, link)	/* each alone: the first speaks for all again */
		if (other != row && other->kin == row->kin)
			put_alone(set, other, now, row->pause_ms);
}

void rowset_defer(struct rowset *set, struct rowset_row *row, int64_t now)
{
	int64_t pause_ms = row->pause_ms;

	row->convicted = false;
	row->pause_ms = 0;
	row->successes_then = set->successes;
	row->suspected_ms = now;
	join(set, row);
	set_pause(set, row, pause_ms);
	make_wait(set, row, now, true);
}

/* ---- which rows are next ---- */

static int64_t shortened(const struct rowset *set, int64_t pause_ms)
{
	return set->hurried ? at_most(pause_ms, PAUSE_FIRST_MS) : pause_ms;
}

/* From `now` on; not positive: it is due. */
static int64_t row_wait(const struct rowset *set, const struct rowset_row *row, int64_t now)
{
	int64_t due = row->failed_ms + shortened(set, row->pause_ms);

	return (row->pause_ms > 0 ? at_least(due, set->retry_not_before_ms) : due) - now;
}

static int64_t trouble_wait(const struct rowset *set, int64_t now)
{
	if (!set->troubled)
		return 0;
	return set->trouble_failed_ms + shortened(set, set->trouble_pause_ms) - now;
}

bool rowset_waits(const struct rowset *set, const struct rowset_row *row, int64_t now)
{
	if (!row->added || row->sent)
		return false;
	return row_wait(set, row, now) > 0 || trouble_wait(set, now) > 0;
}

void rowset_hurry(struct rowset *set)
{
	if (!set->hurried)
		set->retry_not_before_ms = 0;
	set->hurried = true;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Of one that was found guilty. Such go before all others, but no two in a row while these wait. */
static struct rowset_row *last_word(const struct rowset *set, int64_t now, int64_t *wait)
{
	struct rowset_row *row;

	TAILQ_FOREACH(row, &set->rows, link) {
		if (!row->convicted)
			continue;
		if (row_wait(set, row, now) <= 0)
			return row;
		*wait = sooner(*wait, row_wait(set, row, now));
	}
	return NULL;
}

static bool is_untried(const struct rowset_row *row)
{
	return !row->tried && !row->convicted;
}

static int count_untried(const struct rowset *set)
{
	const struct rowset_row *row;
	int n = 0;

	TAILQ_FOREACH(row, &set->rows, link)
		n += is_untried(row);
	return n;
}

/*
 * To be tried alone: one of those that were not yet; NULL: all were. What is wrong with rows is
 * often wrong with their neighbours, so each step leads far away; steps of the golden ratio come
 * everywhere soon, so that innocent rows are found wherever they lie.
 */
static struct rowset_row *untried(struct rowset *set)
{
	uint64_t n = (uint64_t)count_untried(set), skip;
	struct rowset_row *row;

	set->walk += WALK_STEP;
	skip = set->walk * n >> 32;
	TAILQ_FOREACH(row, &set->rows, link)
		if (is_untried(row) && skip-- == 0)
			return row;
	return NULL;
}

/* While the whole is in trouble: one not tried yet, else the one whose try is the longest ago. */
static struct rowset_row *probe(struct rowset *set)
{
	struct rowset_row *row, *found = untried(set);

	if (found)
		return found;
	TAILQ_FOREACH(row, &set->rows, link)
		if (!row->convicted && (!found || row->batch < found->batch))
			found = row;
	return found;
}

static bool choose_only(struct rowset *set, struct rowset_row *row)
{
	set->only = row;
	set->limit = row ? 1 : 0;
	return row;
}

/*
 * Of refused batches that which has waited longest, so that the innocent are done by large halves.
 * When both halves were refused, and a half of these, the newest and smallest: once a row is found
 * its kin are known too.
 */
static const struct rowset_row *better(const struct rowset *set, const struct rowset_row *a,
				       const struct rowset_row *b)
{
	if (!a)
		return b;
	if (set->splits >= SPLITS_DOWNWARD)
		return a->batch > b->batch ? a : b;
	return a->batch < b->batch ? a : b;
}

/* A refused batch, or those never refused: in turn, since a refusal may take long. */
static bool choose_turn(struct rowset *set, int most, int64_t now, int64_t *wait)
{
	const struct rowset_row *row, *retried = NULL;
	bool fresh = false;

	TAILQ_FOREACH(row, &set->rows, link) {
		int64_t until = row_wait(set, row, now);

		if (row->convicted)
			continue;
		if (row->batch == 0)
			fresh = true;
		else if (until > 0)
			*wait = sooner(*wait, until);
		else
			retried = better(set, retried, row);
	}
	if (!fresh && !retried)
		return false;
	if (fresh && (set->retried_last || !retried)) {
		set->turn = 0;
		set->limit = most < set->size ? most : set->size;
	} else {
		set->turn = retried->batch;
		set->limit = most;
	}
	return true;
}

/* Of those that were not found guilty. */
static bool choose_others(struct rowset *set, int most, int64_t now, int64_t *wait)
{
	struct rowset_row *row;

	if (trouble_wait(set, now) > 0) {
		*wait = sooner(*wait, trouble_wait(set, now));
		return false;
	}
	if (set->troubled)
		return choose_only(set, probe(set));
	row = set->refusals >= REFUSALS_SUSPICIOUS ? untried(set) : NULL;
	if (row && row_wait(set, row, now) <= 0)
		return choose_only(set, row);
	return choose_turn(set, most, now, wait);
}

static bool choose(struct rowset *set, int most, int64_t now, int64_t *wait)
{
	struct rowset_row *row = last_word(set, now, wait);

	if (row && !set->last_word_last)
		return choose_only(set, row);
	return choose_others(set, most, now, wait) || choose_only(set, row);
}

int64_t rowset_begin(struct rowset *set, int most, int64_t now)
{
	int64_t wait = -1;

	set->only = NULL;
	set->limit = 0;
	set->next = TAILQ_FIRST(&set->rows);
	if (set->nsent > 0 || most < 1 || !choose(set, most, now, &wait))
		return wait;
	return 0;
}

struct rowset_row *rowset_offer(struct rowset *set)
{
	struct rowset_row *row = set->only;

	if (set->nsent >= set->limit)
		return NULL;
	if (row) {
		set->limit = 0;		/* once */
		return row;
	}
	while ((row = set->next)) {
		set->next = TAILQ_NEXT(row, link);
		if (row->batch == set->turn && !row->convicted)
			return row;
	}
	return NULL;
}

void rowset_take(struct rowset *set, struct rowset_row *row, int64_t now)
{
	row->sent = true;
	set->nsent++;
	set->sent_ms = now;
	set->last_word_last = row->convicted;
	if (!set->only)
		set->retried_last = set->turn > 0;
}

/* ---- what answers mean ---- */

/* The statement is over. Returns how many rows it had; some may have left the set since. */
static int answered(struct rowset *set)
{
	int n = set->nsent;

	set->nsent = 0;
	set->limit = 0;
	return n;
}

void rowset_again(struct rowset *set)
{
	struct rowset_row *row;

	answered(set);
	TAILQ_FOREACH(row, &set->rows, link)
		row->sent = false;
}

static void end_pause_of_kin(struct rowset *set, uint64_t kin)
{
	struct rowset_row *row;

	TAILQ_FOREACH(row, &set->rows, link)
		if (row->kin == kin)
			set_pause(set, row, 0);
}

/*
 * Those who failed alone in it are to show that it was not they, the last one first: if it was,
 * that is proven at once. The others begin anew.
 */
static int64_t end_trouble(struct rowset *set, int64_t now)
{
	struct rowset_row *row;

	if (!set->troubled)
		return -1;
	set->troubled = false;
	set->retry_not_before_ms = 0;
	set->splits = SPLITS_DOWNWARD;
	set->retried_last = false;
	TAILQ_FOREACH(row, &set->rows, link) {
		if (!row->tried)
			row->batch = 0;
		set_pause(set, row, 0);
	}
	return now - set->troubled_since_ms;
}

static int64_t found_well(struct rowset *set, int64_t now)
{
	set->successes++;
	for (int i = 0; i < ROWSET_ERRORS; i++)
		set->errors[i].who = 0;
	return end_trouble(set, now);
}

int64_t rowset_succeeded(struct rowset *set, int64_t now)
{
	struct rowset_row *row = TAILQ_FIRST(&set->rows), *next;
	bool witness = false;
	int left = answered(set);

	for (; row && left > 0; row = next) {
		next = TAILQ_NEXT(row, link);
		if (!row->sent)
			continue;
		left--;
		witness |= !row->convicted;
		if (row->pause_ms > 0)
			end_pause_of_kin(set, row->kin);
		rowset_remove(set, row);
	}
	set->refusals = set->reruns = 0;
	if (!set->only && set->turn > 0 && set->splits < SPLITS_DOWNWARD)
		set->splits = 0;
	set->size = set->size < set->full / 2 ? set->size * 2 : set->full;
	return witness ? found_well(set, now) : -1;
}

int64_t rowset_witnessed(struct rowset *set, int64_t now)
{
	return found_well(set, now);
}

static void split(struct rowset *set, int n, bool slow)
{
	int parts = slow ? PARTS_SLOW : PARTS, size = (n + parts - 1) / parts, i = 0;
	struct rowset_row *row;

	if (set->turn > 0)
		set->splits++;
	else
		set->size = n / 2;
	TAILQ_FOREACH(row, &set->rows, link) {
		if (!row->sent)
			continue;
		row->sent = false;
		if (i++ % size == 0)
			set->last_batch++;
		row->batch = set->last_batch;
		set_pause(set, row, 0);
	}
}

static bool is_error(const char *sqlstate, const char *other)
{
	return strcmp(sqlstate, other) == 0;
}

/* The place of an error in the set's memory, in which it may take that of the oldest. */
static int remember(struct rowset *set, const char *sqlstate)
{
	int i = set->oldest_error;

	for (int k = 0; k < ROWSET_ERRORS; k++)
		if (is_error(set->errors[k].sqlstate, sqlstate))
			return k;
	set->oldest_error = (i + 1) % ROWSET_ERRORS;
	memset(&set->errors[i], 0, sizeof(set->errors[i]));
	strcpy(set->errors[i].sqlstate, sqlstate);
	return i;
}

/*
 * Until the next row is tried alone. Probes of those not tried yet share a pause, so that who is
 * innocent among many guilty is found soon; what fails slowly is given less of the time.
 */
static int64_t trouble_pause(const struct rowset *set, const struct err *err, int64_t now)
{
	int64_t lasted = err->kind == ERR_PERMANENT ? 0 : now - set->troubled_since_ms;
	int64_t pause = at_most(PAUSE_FIRST_MS + lasted, TROUBLE_PAUSE_MAX_MS);
	int64_t probes = at_most(count_untried(set) / set->untried_per_probe, set->probes_max);
	int64_t rest = (now - set->sent_ms) * PROBE_REST;

	return at_most(pause, at_least(rest, pause / at_least(probes, 1)));
}

/* A row alone is not guilty, and perhaps nobody is. */
static enum rowset_verdict accuse_the_whole(struct rowset *set, const struct err *err, int64_t now)
{
	bool told = set->troubled && is_error(set->trouble, err->sqlstate);

	if (!set->troubled)
		set->troubled_since_ms = now;
	set->trouble_pause_ms = trouble_pause(set, err, now);
	set->trouble_failed_ms = now;
	set->troubled = true;
	strcpy(set->trouble, err->sqlstate);
	return told ? ROWSET_TROUBLE_STILL : ROWSET_TROUBLE;
}

/* It failed alone before, with the same error. */
static bool is_guilty(struct rowset *set, const struct rowset_row *row, const struct err *err,
		      int error, int64_t now)
{
	if (row->convicted)
		return err->kind == ERR_PERMANENT;
	if (!set->troubled && set->successes != row->successes_then &&
	    now - row->suspected_ms <= set->suspicion_ms) {
		set->errors[error].proven_until_ms = now + PROOF_LASTS_MS;
		return true;
	}
	if (count_untried(set) > 0)
		return false;
	return err->kind == ERR_PERMANENT || now < set->errors[error].proven_until_ms;
}

static enum rowset_verdict convict(struct rowset *set, struct rowset_row *row)
{
	int64_t pause_ms = row->pause_ms;

	rowset_remove(set, row);
	row->pause_ms = pause_ms;	/* for rowset_defer() */
	row->convicted = true;
	return ROWSET_GUILTY;
}

static void suspect(const struct rowset *set, struct rowset_row *row, const char *sqlstate,
		    int64_t now)
{
	row->tried = true;
	row->suspected_ms = now;
	strcpy(row->suspected, sqlstate);
	row->successes_then = set->successes;
}

static enum rowset_verdict failed_alone(struct rowset *set, struct rowset_row *row,
					const struct err *err, int64_t now)
{
	int error = remember(set, err->sqlstate);
	uint64_t who = set->errors[error].who;
	bool again = row->tried && is_error(row->suspected, err->sqlstate);

	row->sent = false;
	set->splits = 0;
	if (is_untried(row) && row->batch == 0)
		set->size = 1;
	if (again && is_guilty(set, row, err, error, now))
		return convict(set, row);
	if (!again || now - row->suspected_ms > set->suspicion_ms)
		suspect(set, row, err->sqlstate, now);
	make_wait(set, row, now, err->kind != ERR_PERMANENT);
	if (row->convicted)
		return ROWSET_WAITS;
	set->errors[error].who = row->kin;
	if (set->troubled || (who && who != row->kin && now >= set->errors[error].proven_until_ms))
		return accuse_the_whole(set, err, now);
	return ROWSET_WAITS;
}

static struct rowset_row *first_sent(const struct rowset *set)
{
	struct rowset_row *row;

	TAILQ_FOREACH(row, &set->rows, link)
		if (row->sent)
			return row;
	return NULL;
}

/* Rows that are known to wait for locks leave as much time to others as they take. */
static void leave_time(struct rowset *set, int64_t took, int64_t now)
{
	set->retry_not_before_ms = now + shortened(set, at_most(took, PAUSE_MAX_MS));
}

enum rowset_verdict rowset_failed(struct rowset *set, const struct err *err, int64_t now)
{
	struct rowset_row *row = first_sent(set);
	bool lost_to_others = strncmp(err->sqlstate, "40", 2) == 0;
	int64_t took = now - set->sent_ms;
	int n;

	if (!row || err->kind == ERR_LOST || (lost_to_others && set->reruns++ < RERUNS)) {
		rowset_again(set);
		return ROWSET_AGAIN;
	}
	n = answered(set);
	set->reruns = 0;
	set->refusals++;
	if (n > 1) {
		split(set, n, took >= SLOW_MS);
		return ROWSET_SPLIT;
	}
	if (took >= SLOW_MS)
		leave_time(set, took, now);
	return failed_alone(set, row, err, now);
}
