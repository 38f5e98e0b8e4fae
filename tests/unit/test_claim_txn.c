/* claim_txn.c: claims that are held by locks alone, from begin to commit. */
#include "worker_parts.h"

static const struct floors nowhere;

static void note_claimed(void *arg, const PGresult *result, const struct err *err)
{
	(void)arg, (void)result, (void)err;
}

static void begin(void)
{
	struct claim claim = { .jobs = 4, .identity = child.identity, .floors = &nowhere,
			       .passes = &nowhere };

	rater.instant = true;
	assert_int_equal(claim_txn_begin(&txn, &claim, note_claimed, NULL), 0);
	assert_true(txn.open);
}

/* What the claim brought: n jobs, rated at once but for the last `unrated` of them. */
static void bring(int n, int unrated)
{
	answer_with(rows_of(0), NULL);
	answer_with(rows_claimed(1, n, 0), NULL);
	for (int i = 0; i < n; i++) {
		struct grading *g = add_job(i + 1, 900 + i, "a line");

		g->job.times_claimed = 0;
		g->held = true;
		g->settle.stored_before = false;
		grading_end_lookup(g);
		grading_ask(g, &rater);
		call_rated(&rater, asked[nasked - 1],
			   i < n - unrated ? OUTCOME_RATED : OUTCOME_EMPTY);
	}
	dispatch_take_answers(&dispatch);
}

static PGresult *ended_with(const char *tag)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);

	/* The tag is what PQcmdStatus() points to. */
	strcpy(PQcmdStatus(result), tag);
	return result;
}

static void test_a_claim_is_completed_and_committed_in_one(void **state)
{
	(void)state;
	begin();
	assert_sent(0, STATEMENT_BEGIN);
	assert_sent(1, STATEMENT_HOLD);
	bring(3, 0);
	claim_txn_end(&txn);
	check_parts();
	assert_sent(0, STATEMENT_COMPLETE_HELD);
	assert_sent(1, STATEMENT_COMMIT);
	assert_false(txn.open);
	assert_true(txn.committing);
	answer_with(rows_settled(3), NULL);
	assert_int_equal(jobs.n, 3);		/* nothing is certain before the commit */
	answer_with(ended_with("COMMIT"), NULL);
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_JOBS_CLAIMED), 3);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 3);
	assert_int_equal(txn.completed, 3);
	assert_int_equal(claim_txn_take_left(&txn), 0);
}

static void test_what_cannot_be_completed_is_left(void **state)
{
	(void)state;
	atomic_store(&sb->job_budget, 0);
	begin();
	bring(3, 2);
	claim_txn_end(&txn);
	assert_int_equal(jobs.n, 1);
	assert_int_equal(txn.under_way, 1);
	assert_int_equal(claim_txn_take_left(&txn), 2);
	assert_int_equal(claim_txn_take_left(&txn), 0);
	assert_int_equal(atomic_load(&sb->job_budget), 2);
	assert_false(claim_txn_fits(&txn, true));	/* the next claim writes them down */
	claim_txn_written(&txn);
	config.cache.ttl_ms = 0;
	assert_true(claim_txn_fits(&txn, true));
	answer_with(rows_settled(1), NULL);
	answer_with(ended_with("COMMIT"), NULL);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 1);
}

static void test_a_rollback_is_as_if_nothing_had_happened(void **state)
{
	int factor_max = size.factor_max;

	(void)state;
	begin();
	bring(2, 0);
	claim_txn_end(&txn);
	answer_with(rows_settled(2), NULL);
	answer_with(ended_with("ROLLBACK"), NULL);
	assert_int_equal(jobs.n, 0);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 0);
	assert_int_equal(counted(COUNTER_JOBS_CLAIMED), 0);
	assert_int_equal(counted(COUNTER_LINES_RATED), 0);
	assert_int_equal(claim_txn_take_left(&txn), 2);
	assert_int_equal(size.factor_max, factor_max / 2);
}

static void test_an_error_at_the_commit_is_no_success(void **state)
{
	(void)state;
	begin();
	bring(1, 0);
	claim_txn_end(&txn);
	answer_with(rows_settled(1), NULL);
	answer_error(ERR_RETRY, "40001");
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 0);
	assert_int_equal(claim_txn_take_left(&txn), 1);
}

static void test_a_lost_connection_loses_the_locks_and_no_job(void **state)
{
	(void)state;
	begin();
	bring(2, 0);
	fake_pg.ready = false;
	claim_txn_lose(&txn);
	assert_false(txn.open);
	assert_int_equal(jobs.n, 0);
	assert_int_equal(claim_txn_take_left(&txn), 2);
	claim_txn_lose(&txn);
	assert_int_equal(claim_txn_take_left(&txn), 0);
}

/* A settlement gathered before goes out first: inside the transaction a rollback would undo it. */
static void test_what_was_gathered_goes_out_before_it_begins(void **state)
{
	struct grading *g = add_job(9, 909, "a line");

	(void)state;
	grading_end_lookup(g);
	grading_ask(g, &rater);
	call_rated(&rater, asked[0], OUTCOME_RATED);
	dispatch_take_answers(&dispatch);
	settler_gather(&settler);
	begin();
	assert_sent(0, STATEMENT_COMPLETE);
	assert_sent(1, STATEMENT_BEGIN);
	assert_sent(2, STATEMENT_HOLD);
	answer_with(rows_settled(1), NULL);
	claim_txn_lose(&txn);
}

static void test_when_claims_are_held(void **state)
{
	(void)state;
	rater.instant = true;
	config.cache.ttl_ms = 0;
	assert_true(claim_txn_fits(&txn, true));
	assert_false(claim_txn_fits(&txn, false));
	config.database.pool_mode = POOL_MODE_TRANSACTION;	/* a pooler is between */
	assert_false(claim_txn_fits(&txn, true));
	config.database.pool_mode = POOL_MODE_SESSION;
	ctx.fallback = &fallback;
	assert_false(claim_txn_fits(&txn, true));
	ctx.fallback = NULL;
	config.cache.ttl_ms = 1000;		/* the cache goes first, until the queue is deep */
	assert_false(claim_txn_fits(&txn, true));
	size.factor = CLAIM_FACTOR_PAST_CACHE;
	assert_true(claim_txn_fits(&txn, true));
	rater.instant = false;
	assert_false(claim_txn_fits(&txn, true));
}

/* How many provenances go along with the settlement that was sent first. */
static uint32_t provenances_sent_first(void)
{
	uint32_t count;

	assert_sent(0, STATEMENT_COMPLETE_HELD);
	memcpy(&count, fake_pg.sent[0].params[26].data + 12, sizeof(count));
	return ntohl(count);
}

static void complete_one(const char *tag)
{
	begin();
	bring(1, 0);
	claim_txn_end(&txn);
	assert_int_equal(provenances_sent_first(), 1);
	answer_with(rows_settled(1), NULL);
	answer_with(ended_with(tag), NULL);
}

/* Its statement succeeds, but only the commit stores it. */
static void test_a_provenance_is_stored_by_the_commit(void **state)
{
	(void)state;
	complete_one("ROLLBACK");
	complete_one("COMMIT");
	begin();
	bring(1, 0);
	claim_txn_end(&txn);
	assert_int_equal(provenances_sent_first(), 0);
}

/* The statement succeeds, and a trigger has kept one of the rows as it was. */
static void test_what_a_trigger_passes_over_is_left(void **state)
{
	PGresult *settled = rows_of(1);

	(void)state;
	begin();
	bring(3, 0);
	claim_txn_end(&txn);
	cell_int8(settled, 0, 0, 1);
	cell_int8(settled, 1, 0, 3);
	answer_with(settled, NULL);
	answer_with(ended_with("COMMIT"), NULL);
	assert_int_equal(txn.completed, 2);
	assert_int_equal(counted(COUNTER_JOBS_COMPLETED), 2);
	assert_int_equal(counted(COUNTER_CLAIMS_LOST), 0);
	assert_true(txn.write_next);
	assert_int_equal(claim_txn_take_left(&txn), 1);
	assert_int_equal(jobs.n, 0);
}

static void test_only_untouched_jobs_can_be_completed_so(void **state)
{
	struct claimed_row row = { .claim = CLAIM_NUMBER, .data = "{}" };

	(void)state;
	assert_true(claim_txn_can_complete(&row));
	row.times_claimed = 1;
	assert_false(claim_txn_can_complete(&row));
	row = (struct claimed_row){ .data = "{}", .counted_as = COUNTED_FAILED };
	assert_false(claim_txn_can_complete(&row));
	row = (struct claimed_row){ .data = NULL };	/* too large to be read along with others */
	assert_false(claim_txn_can_complete(&row));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARTS_TEST(test_a_claim_is_completed_and_committed_in_one),
		PARTS_TEST(test_what_cannot_be_completed_is_left),
		PARTS_TEST(test_a_rollback_is_as_if_nothing_had_happened),
		PARTS_TEST(test_an_error_at_the_commit_is_no_success),
		PARTS_TEST(test_a_lost_connection_loses_the_locks_and_no_job),
		PARTS_TEST(test_what_was_gathered_goes_out_before_it_begins),
		PARTS_TEST(test_when_claims_are_held),
		PARTS_TEST(test_a_provenance_is_stored_by_the_commit),
		PARTS_TEST(test_what_a_trigger_passes_over_is_left),
		PARTS_TEST(test_only_untouched_jobs_can_be_completed_so),
	};

	return cmocka_run_group_tests_name("claim_txn", tests, NULL, NULL);
}
