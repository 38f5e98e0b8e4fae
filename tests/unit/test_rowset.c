/*
 * rowset.c against a model of a database: rows that it refuses, locks that others hold, a disk
 * that is full for a while, statements that are too large. Innocent rows end done, guilty ones
 * are named and nobody else is, in few statements.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/rowset.h"

#define ROWS 10000
#define WEATHER_ROWS 500
#define FULL 256
#define QUICK_MS 2			/* a statement */
#define LOCK_TIMEOUT_MS 3000

enum fate { OPEN, DONE, NAMED };

/* A row of the owner's, and what the database has against it. */
static struct job {
	struct rowset_row row;
	const char *session;
	const char *refused;		/* the error it always meets, NULL: none */
	enum fate fate;
	int64_t added_ms;
} jobs[ROWS];
static int njobs;

/* ---- the database ---- */

static struct trouble { int64_t from_ms, until_ms; const char *sqlstate; } troubles[8];
static int ntroubles;
/* Of all sessions that begin so, for all their jobs or those that were named. */
static struct { const char *session; int64_t until_ms, waited_ms; bool named_only; } lock;
static int too_many;			/* rows for a statement to do in time; 0: no number is */
static int lost_every, lost_to_others_every;	/* so many statements; 0: never */
static int64_t takes_ms;		/* a statement that waits for nobody */

/* ---- the owner ---- */

static struct rowset set;
static int64_t now;
static int statements, largest, troubles_said, troubles_over, guilty_verdicts;
static int64_t longest_ms;		/* that a row took to be done */
static bool sets_aside;			/* whatever is guilty, as who claims does */
static struct job *taken[ROWS];
static int ntaken;

static struct job *job_of(struct rowset_row *row)
{
	return (struct job *)((char *)row - offsetof(struct job, row));
}

static int begin(void **state)
{
	(void)state;
	njobs = ntroubles = too_many = lost_every = lost_to_others_every = 0;
	memset(&lock, 0, sizeof(lock));
	sets_aside = false;
	takes_ms = QUICK_MS;
	longest_ms = 0;
	now = 1000;
	statements = largest = troubles_said = troubles_over = guilty_verdicts = 0;
	rowset_init(&set, FULL);
	return 0;
}

static struct job *add(const char *refused, const char *session)
{
	struct job *job = &jobs[njobs++];

	assert_true(njobs <= ROWS);
	*job = (struct job){ .session = session, .refused = refused, .added_ms = now };
	rowset_add(&set, &job->row, session);
	return job;
}

static void add_many(int n, const char *refused)
{
	while (n-- > 0)
		add(refused, NULL);
}

static struct err error(const char *sqlstate)
{
	static const char *const values[] = { "22", "23", "54", "P0", NULL };
	struct err err = { .kind = ERR_RETRY };

	for (int i = 0; values[i]; i++)
		if (strncmp(sqlstate, values[i], 2) == 0)
			err.kind = ERR_PERMANENT;
	snprintf(err.sqlstate, sizeof(err.sqlstate), "%s", sqlstate);
	return err;
}

static bool is_locked(const struct job *job)
{
	return lock.session && job->session && now < lock.until_ms &&
	       (!lock.named_only || job->fate == NAMED) &&
	       strncmp(lock.session, job->session, strlen(lock.session)) == 0;
}

/* What the database says to those taken; NULL: it is done. Its time passes. */
static const char *run_statement(void)
{
	statements++;
	largest = ntaken > largest ? ntaken : largest;
	now += takes_ms;
	for (int i = 0; i < ntroubles; i++)
		if (now >= troubles[i].from_ms && now < troubles[i].until_ms)
			return troubles[i].sqlstate;
	if (lost_to_others_every && statements % lost_to_others_every == 0)
		return "40P01";
	if (too_many && ntaken >= too_many)
		return "57014";
	for (int i = 0; i < ntaken; i++) {
		if (is_locked(taken[i])) {
			now += LOCK_TIMEOUT_MS;
			lock.waited_ms += LOCK_TIMEOUT_MS;
			return "55P03";
		}
		if (taken[i]->refused && taken[i]->fate != NAMED)
			return taken[i]->refused;
	}
	return NULL;
}

/* As a settler does: what is refused for its values ends by name, in a form that is taken. */
static void found_guilty(struct job *job, const struct err *err)
{
	guilty_verdicts++;
	assert_false(job->row.added);
	if (sets_aside) {
		job->fate = NAMED;
		return;
	}
	if (err->kind != ERR_PERMANENT) {
		rowset_defer(&set, &job->row, now);
		return;
	}
	assert_int_equal(job->fate, OPEN);
	job->fate = NAMED;
	rowset_add(&set, &job->row, job->session);
}

static void take(void)
{
	struct rowset_row *row;

	ntaken = 0;
	while ((row = rowset_offer(&set))) {
		rowset_take(&set, row, now);
		taken[ntaken++] = job_of(row);
	}
	assert_true(ntaken > 0 && ntaken <= FULL);
}

static void done(struct job *job)
{
	if (job->fate != OPEN)
		return;
	job->fate = DONE;
	if (now - job->added_ms > longest_ms)
		longest_ms = now - job->added_ms;
}

static void answer(const char *sqlstate)
{
	struct err err;

	if (lost_every && statements % lost_every == 0) {
		rowset_failed(&set, &(struct err){ .kind = ERR_LOST }, now);
		return;
	}
	if (!sqlstate) {
		for (int i = 0; i < ntaken; i++)
			done(taken[i]);
		if (rowset_succeeded(&set, now) >= 0)
			troubles_over++;
		return;
	}
	err = error(sqlstate);
	switch (rowset_failed(&set, &err, now)) {
	case ROWSET_GUILTY:
		assert_int_equal(ntaken, 1);
		found_guilty(taken[0], &err);
		break;
	case ROWSET_TROUBLE:
		troubles_said++;
		break;
	case ROWSET_SPLIT:
		assert_true(ntaken > 1);
		break;
	default:
		break;
	}
}

/* One statement, after whatever wait comes before it. False: there is nothing to wait for. */
static bool step(void)
{
	int64_t wait = rowset_begin(&set, FULL, now);

	if (wait < 0)
		return false;
	if (wait > 0) {
		now += wait;
		wait = rowset_begin(&set, FULL, now);
		assert_int_equal(wait, 0);
	}
	take();
	answer(run_statement());
	return true;
}

/* One more, of so many that the test may send at most. */
static void step_of(int most)
{
	assert_true(statements < most);
	assert_true(step());
}

/* Until nothing is left, or so many statements were sent. */
static void run(int most)
{
	int last = statements + most;

	while (statements < last && step())
		;
}

/* While more come, in groups, for so long. */
static void run_with_arrivals(int64_t lasts_ms, int64_t every_ms, int guilty, const char *refused)
{
	int64_t until = now + lasts_ms, next = now, wait;

	while (now < until) {
		for (; next <= now; next += every_ms) {
			add(NULL, NULL);
			add_many(guilty, refused);
		}
		wait = rowset_begin(&set, FULL, now);
		if (wait == 0) {
			take();
			answer(run_statement());
		} else {
			now = wait > 0 && now + wait < next ? now + wait : next;
		}
	}
}

static void whole_trouble(int64_t from_ms, int64_t lasts_ms, const char *sqlstate)
{
	troubles[ntroubles++] = (struct trouble){ from_ms, from_ms + lasts_ms, sqlstate };
}

static int count(enum fate fate)
{
	int n = 0;

	for (int i = 0; i < njobs; i++)
		n += jobs[i].fate == fate;
	return n;
}

static void check_all_ended(void)
{
	assert_true(TAILQ_EMPTY(&set.rows));
	assert_int_equal(set.npausing, 0);
	for (int i = 0; i < njobs; i++)
		assert_int_equal(jobs[i].fate, jobs[i].refused ? NAMED : DONE);
}

static int log2_of(int n)
{
	int log = 0;

	while (n > 1 << log)
		log++;
	return log;
}

/* ---- tests ---- */

static void test_rows_that_nobody_refuses_go_in_full_batches(void **state)
{
	(void)state;
	add_many(3 * FULL + 1, NULL);
	run(100);
	check_all_ended();
	assert_int_equal(statements, 4);
}

static void test_nothing_to_do_is_nothing_to_wait_for(void **state)
{
	(void)state;
	assert_int_equal(rowset_begin(&set, FULL, now), -1);
	assert_null(rowset_offer(&set));
	add(NULL, NULL);
	assert_int_equal(rowset_begin(&set, 0, now), -1);
	assert_int_equal(rowset_begin(&set, FULL, now), 0);
	take();
	add(NULL, NULL);
	assert_int_equal(rowset_begin(&set, FULL, now), -1);	/* one statement at a time */
}

static void test_what_is_not_taken_stays(void **state)
{
	struct rowset_row *row;

	(void)state;
	add_many(10, NULL);
	assert_int_equal(rowset_begin(&set, FULL, now), 0);
	ntaken = 0;
	for (int i = 0; (row = rowset_offer(&set)); i++)
		if (i % 2 == 0) {
			rowset_take(&set, row, now);
			taken[ntaken++] = job_of(row);
		}
	assert_int_equal(ntaken, 5);
	answer(NULL);
	assert_int_equal(count(DONE), 5);
	run(10);
	check_all_ended();
}

static void test_a_limit_of_the_owner_holds(void **state)
{
	(void)state;
	add_many(10, NULL);
	assert_int_equal(rowset_begin(&set, 4, now), 0);
	take();
	assert_int_equal(ntaken, 4);
}

static void test_rows_may_leave_while_they_are_on_their_way(void **state)
{
	(void)state;
	add_many(4, NULL);
	rowset_begin(&set, FULL, now);
	take();
	rowset_remove(&set, &jobs[1].row);
	rowset_remove(&set, &jobs[1].row);
	answer("23514");
	jobs[1].fate = DONE;
	run(10);
	check_all_ended();
	add_many(1, NULL);
	rowset_begin(&set, FULL, now);
	take();
	rowset_remove(&set, &taken[0]->row);
	answer("23514");
	assert_int_equal(rowset_begin(&set, FULL, now), -1);
}

static void test_a_row_may_leave_between_offer_and_offer(void **state)
{
	struct rowset_row *row;
	int n = 0;

	(void)state;
	add_many(6, NULL);
	rowset_begin(&set, FULL, now);
	while ((row = rowset_offer(&set))) {
		rowset_remove(&set, row);
		rowset_remove(&set, &jobs[3].row);
		n++;
	}
	assert_int_equal(n, 5);
	assert_int_equal(rowset_begin(&set, FULL, now), -1);
}

/* Each set of up to eight rows, each part of it guilty, with one error for all or one for each. */
static void test_every_small_case(void **state)
{
	static const char *const own[] = {
		"22001", "22003", "22012", "23502", "23503", "23505", "23514", "P0001"
	};

	for (int n = 1; n <= 8; n++)
		for (int mask = 0; mask < 1 << n; mask++)
			for (int each = 0; each < 2; each++) {
				begin(state);
				for (int i = 0; i < n; i++)
					add(mask & 1 << i ? own[each ? i : 0] : NULL, NULL);
				run(200);
				check_all_ended();
				assert_true(statements <= 6 * n);
			}
}

/* The same with errors that are not of values: nobody is named, innocents are done, others wait. */
static void test_what_may_pass_is_named_by_nobody(void **state)
{
	for (int n = 1; n <= 8; n++)
		for (int mask = 1; mask < 1 << n; mask++) {
			begin(state);
			for (int i = 0; i < n; i++)
				add(mask & 1 << i ? "55000" : NULL, NULL);
			run(100);
			for (int i = 0; i < n; i++)
				assert_int_equal(jobs[i].fate, jobs[i].refused ? OPEN : DONE);
			assert_int_equal(rowset_begin(&set, FULL, now) > 0, 1);
			assert_true(guilty_verdicts == 0 || count(DONE) > 0);
			assert_true(now > 100 * 500);		/* without haste */
			for (int i = 0; i < n; i++)
				jobs[i].refused = NULL;
			run(100);
			check_all_ended();
		}
}

/* From each moment on, for each while, beside each guilty row: that is named, and nobody else. */
static void test_passing_trouble_sets_nothing_aside(void **state)
{
	for (int from = 0; from < 60; from++)
		for (int lasts = 1; lasts < 4000; lasts = lasts * 2 + 1)
			for (int bad = 0; bad < 20; bad++) {
				begin(state);
				whole_trouble(now + from, lasts, "53100");
				for (int i = 0; i < 16; i++)
					add(i == bad ? "23514" : NULL, NULL);
				run(300);
				check_all_ended();
				assert_int_equal(guilty_verdicts, bad < 16);
			}
}

static void test_one_among_many_costs_a_logarithm(void **state)
{
	for (int bad = 0; bad < FULL; bad++) {
		begin(state);
		for (int i = 0; i < FULL; i++)
			add(i == bad ? "23514" : NULL, NULL);
		run(1000);
		check_all_ended();
		assert_true(statements <= 3 * log2_of(FULL) + 5);
		assert_int_equal(troubles_said, 0);
	}
}

static void test_a_thousand_ahead_of_the_others(void **state)
{
	(void)state;
	add_many(1000, "23514");
	add_many(1000, NULL);
	while (count(DONE) < 1000)
		step_of(5 * 1000);
	assert_true(now < 5000);
	run(100000);
	check_all_ended();
	assert_true(statements < 5 * 1000);
}

/* Where so many innocent rows lie among n. */
static bool ahead(int i, int n, int innocent)
{
	(void)n;
	return i < innocent;
}

static bool behind(int i, int n, int innocent)
{
	return i >= n - innocent;
}

static bool in_the_middle(int i, int n, int innocent)
{
	return i >= (n - innocent) / 2 && i < (n + innocent) / 2;
}

static bool evenly(int i, int n, int innocent)
{
	return i * innocent / n != (i + 1) * innocent / n;
}

static bool at_random(int i, int n, int innocent)
{
	(void)i;
	return rand() % n < innocent;
}

static bool (*const places[])(int i, int n, int innocent) = {
	ahead, behind, in_the_middle, evenly, at_random
};
#define AT_RANDOM 4			/* which may need more luck than the others */

static void add_mixed(int n, int innocent, int place, const char *refused)
{
	for (int i = 0; i < n; i++)
		add(places[place](i, n, innocent) ? NULL : refused, NULL);
}

static int count_innocent(void)
{
	int n = 0;

	for (int i = 0; i < njobs; i++)
		n += !jobs[i].refused;
	return n;
}

/* Whatever the error, and wherever they are. */
static void test_the_innocent_among_many_guilty_are_done_soon(void **state)
{
	static const struct { int n, innocent; int64_t within_ms; } mixes[] = {
		{ 1000, 100, 10000 }, { 512, 256, 5000 }, { 250, 20, 2000 }, { 64, 8, 1500 }
	};
	static const char *const errors[] = { "23514", "55000", "53400" };

	for (size_t mix = 0; mix < sizeof(mixes) / sizeof(mixes[0]); mix++)
		for (int place = 0; place <= AT_RANDOM; place++)
			for (int e = 0; e < 3; e++) {
				int64_t began;
				int innocent;

				begin(state);
				srand(1);
				began = now;
				add_mixed(mixes[mix].n, mixes[mix].innocent, place, errors[e]);
				innocent = count_innocent();
				while (count(DONE) < innocent)
					step_of(5 * njobs);
				assert_true(now - began <=
					    (place == AT_RANDOM ? 2 : 1) * mixes[mix].within_ms);
				if (error(errors[e]).kind != ERR_PERMANENT)
					continue;
				run(5 * njobs);
				check_all_ended();
				assert_true(now - began <= 20000);
			}
}

static void test_the_only_innocent_one_is_found_wherever_it_is(void **state)
{
	for (int at = 0; at < 512; at += 7) {
		begin(state);
		for (int i = 0; i < 512; i++)
			add(i == at ? NULL : "53400", NULL);
		while (count(DONE) == 0)
			step_of(512 + 10);
		assert_true(now < 180000);	/* each was tried alone */
	}
}

static void test_guilty_ones_that_keep_coming_keep_nobody_waiting(void **state)
{
	(void)state;
	run_with_arrivals(60000, 20, 2, "23514");
	assert_true(longest_ms < 1000);
	assert_true(count(DONE) >= njobs / 3 - 50);
	assert_true(count(OPEN) < 150);
	run(1000);
	check_all_ended();

	begin(state);
	run_with_arrivals(10000, 20, 2, "55000");
	assert_true(longest_ms < 1000);
	assert_true(count(DONE) >= njobs / 3 - 50);
}

static void test_it_grows_again(void **state)
{
	int before;

	(void)state;
	add_many(8, "23514");
	add_many(8, NULL);
	run(1000);
	check_all_ended();
	before = statements;
	largest = 0;
	add_many(4 * FULL, NULL);
	run(1000);
	check_all_ended();
	assert_true(statements - before <= log2_of(FULL) + 4);
	assert_int_equal(largest, FULL);
}

static void test_a_statement_that_is_too_large_is_made_smaller(void **state)
{
	(void)state;
	too_many = 40;
	add_many(1000, NULL);
	run(1000);
	check_all_ended();
	assert_int_equal(guilty_verdicts + troubles_said, 0);
	assert_true(statements < 4 * 1000 / 20);
}

static void test_a_full_disk_is_said_once_and_tried_without_haste(void **state)
{
	int64_t full_until;

	(void)state;
	add_many(1000, NULL);
	whole_trouble(now, 60000, "53100");
	full_until = now + 60000;
	while (troubles_said == 0)
		step_of(5);
	while (now < full_until)
		step_of(300);
	assert_int_equal(troubles_said, 1);
	assert_int_equal(guilty_verdicts, 0);
	while (troubles_over == 0)
		step_of(301);
	largest = 0;
	step();
	assert_true(largest <= 2);
	run(1000);
	check_all_ended();
	assert_true(now < full_until + 5000);
	assert_int_equal(troubles_over, 1);
}

static void test_a_full_disk_is_tried_seldom_with_few_rows(void **state)
{
	for (int n = 1; n <= 7; n++) {
		int64_t full_until;

		begin(state);
		full_until = now + 60000;
		add_many(n, NULL);
		whole_trouble(now, 60000, "53100");
		while (now < full_until)
			step_of(23);
		run(20);
		check_all_ended();
		assert_true(now < full_until + 5000);
	}
}

/* A fifth of the time goes to rows that fail, however many there are. */
static void test_the_slower_it_fails_the_longer_it_is_left_alone(void **state)
{
	int64_t full_until = now + 10000;

	(void)state;
	takes_ms = 90;
	add_many(1000, NULL);
	whole_trouble(now, 10000, "53100");
	while (troubles_said == 0)
		step_of(5);
	assert_int_equal(rowset_begin(&set, FULL, now), 360);
	while (now < full_until)
		step_of(5 + 10000 / (5 * 90));
	run(2000);
	check_all_ended();
}

static void test_however_slowly_it_fails_a_pause_has_its_end(void **state)
{
	(void)state;
	takes_ms = 2000;
	add_many(1000, NULL);
	whole_trouble(now, 60000, "53100");
	while (troubles_said == 0)
		step_of(5);
	assert_int_equal(rowset_begin(&set, FULL, now), 500);
	while (now < 30000)
		step_of(30);
	assert_int_equal(rowset_begin(&set, FULL, now), 4000);
}

static void test_trouble_says_its_other_error_too(void **state)
{
	(void)state;
	add_many(10, NULL);
	whole_trouble(now, 10000, "25006");
	whole_trouble(now + 10000, 10000, "42501");
	run(100);
	check_all_ended();
	assert_int_equal(troubles_said, 2);
	assert_int_equal(troubles_over, 1);
}

/* A trigger that refuses all: each row is tried alone before anybody is named. */
static void test_with_nobody_left_the_values_are_to_blame(void **state)
{
	(void)state;
	add_many(8, "P0001");
	while (guilty_verdicts == 0) {
		step_of(30);
		assert_int_equal(count(DONE) + count(NAMED), guilty_verdicts);
	}
	assert_true(statements > 8);
	assert_int_equal(troubles_said, 1);
	run(1000);
	check_all_ended();
	assert_true(now < 15000);
}

/* As a claimer does, who sets aside for any error: there are no others left, but there were. */
static void test_what_was_proven_is_believed_of_the_last_ones(void **state)
{
	(void)state;
	sets_aside = true;
	add_many(40, "55000");
	add_many(20, NULL);
	run(2 * 40 + 30);
	assert_int_equal(count(DONE), 20);
	check_all_ended();
}

static void test_nobody_is_believed_while_somebody_is_left_to_compare_with(void **state)
{
	(void)state;
	lock.session = "locked";
	lock.until_ms = now + 20000;
	add("23514", NULL);
	step();
	add(NULL, "locked");
	step();
	add(NULL, "locked");		/* it waits, and was never tried */
	while (ntaken > 1 || taken[0] != &jobs[0])
		step_of(20);
	assert_int_equal(guilty_verdicts, 0);
	run(100);
	check_all_ended();
}

/* One by one, so that none is there when the next one comes. */
static void test_last_words_do_not_prove_the_whole_well(void **state)
{
	(void)state;
	add("23514", NULL);
	run(10);
	check_all_ended();
	add("23514", NULL);
	assert_true(step());
	assert_int_equal(troubles_said, 1);
	run(10);
	check_all_ended();
}

static void test_a_success_in_between_makes_two_failures_two(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		add(i == 1 ? NULL : "23514", NULL);
		assert_true(step());
	}
	assert_int_equal(statements, 3);
	assert_int_equal(count(DONE), 1);
	assert_int_equal(troubles_said, 0);
}

static void test_a_row_by_itself_is_believed_the_second_time(void **state)
{
	(void)state;
	add("23514", NULL);
	assert_true(step());
	assert_int_equal(guilty_verdicts, 0);
	assert_int_equal(rowset_begin(&set, FULL, now), 500);
	assert_true(rowset_waits(&set, &jobs[0].row, now));
	assert_false(rowset_waits(&set, &jobs[0].row, now + 500));
	assert_true(step());
	assert_int_equal(guilty_verdicts, 1);
	run(10);
	check_all_ended();
	assert_int_equal(statements, 3);
}

/* Its last word is refused too: it is guilty a second time, and its owner lets it go. */
static void test_a_last_word_may_be_refused(void **state)
{
	struct err err = error("P0001");
	enum rowset_verdict verdict = ROWSET_AGAIN;

	(void)state;
	add("P0001", NULL);
	step();
	step();
	assert_int_equal(count(NAMED), 1);
	for (int tries = 0; verdict != ROWSET_GUILTY; tries++) {
		assert_true(tries < 3);
		now += 500;
		assert_int_equal(rowset_begin(&set, FULL, now), 0);
		take();
		verdict = rowset_failed(&set, &err, now);
	}
	assert_false(jobs[0].row.added);
}

static void test_a_disk_that_is_full_refuses_no_last_word_for_good(void **state)
{
	(void)state;
	add("P0001", NULL);
	step();
	step();
	whole_trouble(now, 60000, "53100");
	add(NULL, NULL);
	step();
	step();
	assert_int_equal(troubles_said, 0);	/* a last word is another matter */
	run(100);
	check_all_ended();
	assert_int_equal(guilty_verdicts, 1);
}

static void test_a_locked_session_keeps_only_itself_waiting(void **state)
{
	int64_t began = now;

	(void)state;
	lock.session = "locked";
	lock.until_ms = now + 120000;
	for (int i = 0; i < 200; i++)
		add(NULL, i % 20 == 7 ? "locked" : NULL);
	while (count(DONE) < 190)
		step_of(60);
	assert_true(now - began < 7 * LOCK_TIMEOUT_MS);
	assert_int_equal(guilty_verdicts, 0);
	while (now < lock.until_ms - 30000)
		step_of(60);
	assert_true(set.npausing == 10);
	add(NULL, "locked");
	assert_true(set.npausing == 11);	/* it need not find out for itself */
	while (now < lock.until_ms)
		step_of(60);
	run(100);
	check_all_ended();
	assert_true(now < lock.until_ms + 8000 + LOCK_TIMEOUT_MS);
	assert_int_equal(troubles_said, 0);
}

/* What waits for locks takes half of the time at most: others are settled meanwhile. */
static void test_others_go_first_while_one_waits(void **state)
{
	static const char *const sessions[] = { "locked 1", "locked 2", "locked 3", "locked 4" };
	int64_t began;

	(void)state;
	lock.session = "locked";
	lock.until_ms = INT64_MAX;
	for (int i = 0; i < 12; i++)
		add(NULL, sessions[i % 4]);
	for (began = now; now < began + 100000; now += 100) {
		if (njobs < ROWS)
			add(NULL, NULL);
		if (rowset_begin(&set, FULL, now) == 0) {
			take();
			answer(run_statement());
		}
	}
	assert_true(lock.waited_ms <= 65000);
	assert_true(count(DONE) > njobs - 12 - 50);
}

/* A job without a session shares nothing with others that have none. */
static void test_no_kin_is_nobody_s_kin(void **state)
{
	(void)state;
	lock.session = "";
	lock.until_ms = INT64_MAX;
	add(NULL, "");
	assert_true(step());
	lock.session = NULL;
	add(NULL, "");
	assert_int_equal(rowset_begin(&set, FULL, now), 0);
	assert_ptr_equal(rowset_offer(&set), &jobs[1].row);
	assert_null(rowset_offer(&set));
}

static void test_hurry_shortens_every_pause(void **state)
{
	(void)state;
	add("55000", NULL);
	for (int i = 0; i < 8; i++)
		step();
	assert_int_equal(rowset_begin(&set, FULL, now), 8000);
	rowset_hurry(&set);
	assert_int_equal(rowset_begin(&set, FULL, now), 500);
}

static void test_hurry_shortens_what_locks_leave_to_others(void **state)
{
	(void)state;
	lock.session = "locked";
	lock.until_ms = INT64_MAX;
	add(NULL, "locked");
	step();
	assert_int_equal(rowset_begin(&set, FULL, now), LOCK_TIMEOUT_MS + QUICK_MS);
	rowset_hurry(&set);
	assert_int_equal(rowset_begin(&set, FULL, now), 500);
	step();
	assert_int_equal(rowset_begin(&set, FULL, now), 500);
}

static void test_a_last_word_that_waits_makes_no_batch_smaller(void **state)
{
	(void)state;
	lock.session = "locked";
	lock.until_ms = INT64_MAX;
	lock.named_only = true;
	add("23514", "locked");
	add_many(FULL - 1, NULL);
	while (count(DONE) < FULL - 1 || lock.waited_ms == 0)
		step_of(40);
	add_many(FULL, NULL);
	step();
	assert_true(ntaken >= FULL / 4);
}

/* At a stop: jobs whose last words wait for locks, and others that end meanwhile. */
static void test_last_words_that_wait_leave_every_other_statement_to_others(void **state)
{
	static const char *const sessions[] = { "locked 1", "locked 2", "locked 3" };

	(void)state;
	lock.session = "locked";
	lock.until_ms = now + 80000;
	lock.named_only = true;
	for (int i = 0; i < 3; i++)
		add("P0001", sessions[i]);
	while (count(NAMED) < 3)
		step_of(20);
	rowset_hurry(&set);
	run_with_arrivals(60000, 20, 0, NULL);
	assert_true(now < lock.until_ms);
	assert_true(lock.waited_ms >= 50000);
	assert_true(longest_ms < 3 * LOCK_TIMEOUT_MS + 500);
	assert_true(count(DONE) >= 60000 / 20 - LOCK_TIMEOUT_MS / 20 - 5);
	run(100);
	check_all_ended();
}

static void test_a_transaction_that_lost_to_others_runs_again_at_once(void **state)
{
	int64_t began = now;

	(void)state;
	lost_to_others_every = 2;
	add_many(4 * FULL, NULL);
	run(100);
	check_all_ended();
	assert_int_equal(now - began, statements * QUICK_MS);
	assert_int_equal(statements, 7);
}

static void test_who_always_loses_to_others_waits(void **state)
{
	(void)state;
	add("40001", NULL);
	add_many(20, NULL);
	run(60);
	assert_int_equal(count(DONE), 20);
	assert_int_equal(count(NAMED), 0);
	assert_true(now > 10000);
}

static void test_a_lost_connection_teaches_nothing(void **state)
{
	(void)state;
	lost_every = 3;
	add_many(4 * FULL, NULL);
	run(100);
	check_all_ended();
	assert_int_equal(statements, 5);
}

static void test_an_owner_may_send_the_same_again(void **state)
{
	(void)state;
	add_many(10, NULL);
	rowset_begin(&set, FULL, now);
	take();
	rowset_again(&set);
	assert_int_equal(rowset_begin(&set, FULL, now), 0);
	take();
	assert_int_equal(ntaken, 10);
	answer(NULL);
	check_all_ended();
}

/* Rows come all the time, some of them guilty; connections are lost, a disk is full at times. */
static void random_weather(unsigned seed)
{
	static const char *const errors[] = { "23514", "23505", "22003", "P0001" };
	static const char *const sessions[] = { "a", "b", "c", NULL, NULL, NULL };
	static const char *const whole[] = { "53100", "25006", "42501" };
	int64_t at = 0;
	int nbad = 0;

	srand(seed);
	begin(NULL);
	lost_every = rand() % 3 ? 0 : 20 + rand() % 50;
	lost_to_others_every = rand() % 3 ? 0 : 7 + rand() % 50;
	too_many = rand() % 3 ? 0 : 20 + rand() % FULL;
	lock.session = rand() % 3 ? "a" : "nobody";
	lock.until_ms = rand() % 60000;
	for (at = rand() % 5000; ntroubles < rand() % 4; at += 30000) {
		int64_t lasts = 1 + rand() % 15000;

		whole_trouble(at, lasts, whole[rand() % 3]);
		at += lasts;
	}
	for (int one_in = 2 + rand() % 200; njobs < WEATHER_ROWS;) {
		for (int n = rand() % 100; n > 0 && njobs < WEATHER_ROWS; n--) {
			bool bad = rand() % one_in == 0;

			nbad += bad;
			add(bad ? errors[rand() % 4] : NULL, sessions[rand() % 6]);
		}
		for (int n = rand() % 10; n > 0; n--)
			step();
	}
	add(NULL, NULL);
	run(100000);
	check_all_ended();
	assert_int_equal(count(NAMED), nbad);
	assert_true(statements < 300 + nbad * (2 * log2_of(FULL) + 2) +
				 (too_many ? 6 * njobs / too_many : 0));
}

static void test_any_weather(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 2000; seed++) {
		random_weather(seed);
		if (TAILQ_FIRST(&set.rows))
			fail_msg("seed %u", seed);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		TEST(test_rows_that_nobody_refuses_go_in_full_batches),
		TEST(test_nothing_to_do_is_nothing_to_wait_for),
		TEST(test_what_is_not_taken_stays),
		TEST(test_a_limit_of_the_owner_holds),
		TEST(test_rows_may_leave_while_they_are_on_their_way),
		TEST(test_a_row_may_leave_between_offer_and_offer),
		TEST(test_every_small_case),
		TEST(test_what_may_pass_is_named_by_nobody),
		TEST(test_passing_trouble_sets_nothing_aside),
		TEST(test_one_among_many_costs_a_logarithm),
		TEST(test_a_thousand_ahead_of_the_others),
		TEST(test_the_innocent_among_many_guilty_are_done_soon),
		TEST(test_the_only_innocent_one_is_found_wherever_it_is),
		TEST(test_guilty_ones_that_keep_coming_keep_nobody_waiting),
		TEST(test_it_grows_again),
		TEST(test_a_statement_that_is_too_large_is_made_smaller),
		TEST(test_a_full_disk_is_said_once_and_tried_without_haste),
		TEST(test_a_full_disk_is_tried_seldom_with_few_rows),
		TEST(test_the_slower_it_fails_the_longer_it_is_left_alone),
		TEST(test_however_slowly_it_fails_a_pause_has_its_end),
		TEST(test_trouble_says_its_other_error_too),
		TEST(test_with_nobody_left_the_values_are_to_blame),
		TEST(test_what_was_proven_is_believed_of_the_last_ones),
		TEST(test_nobody_is_believed_while_somebody_is_left_to_compare_with),
		TEST(test_last_words_do_not_prove_the_whole_well),
		TEST(test_a_success_in_between_makes_two_failures_two),
		TEST(test_a_row_by_itself_is_believed_the_second_time),
		TEST(test_a_last_word_may_be_refused),
		TEST(test_a_disk_that_is_full_refuses_no_last_word_for_good),
		TEST(test_a_locked_session_keeps_only_itself_waiting),
		TEST(test_others_go_first_while_one_waits),
		TEST(test_no_kin_is_nobody_s_kin),
		TEST(test_hurry_shortens_every_pause),
		TEST(test_hurry_shortens_what_locks_leave_to_others),
		TEST(test_a_last_word_that_waits_makes_no_batch_smaller),
		TEST(test_last_words_that_wait_leave_every_other_statement_to_others),
		TEST(test_a_transaction_that_lost_to_others_runs_again_at_once),
		TEST(test_who_always_loses_to_others_waits),
		TEST(test_a_lost_connection_teaches_nothing),
		TEST(test_an_owner_may_send_the_same_again),
		TEST(test_any_weather),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
