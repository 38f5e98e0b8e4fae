/* grading.c: a job made from its row, and rows that cannot be read. */
#include "grading_fixture.h"

static const char data[] = "{\"transcript\":[{\"speaker\":\"rep\",\"text\":\"a\",\"index\":4},"
			   "{\"speaker\":\"customer\",\"text\":\"b\",\"index\":5},"
			   "{\"speaker\":\"user\",\"text\":\"A \",\"index\":6}]}";

static void test_a_job_is_what_its_row_says(void **state)
{
	struct claimed_row row = make_row(data, 1, 3, 2);

	(void)state;
	g = grading_new(&row, &rater, true);
	assert_int_equal(g->phase, GRADING_LOOKUP);
	assert_string_equal(g->job.id, row.id);
	assert_string_equal(g->job.session_id, row.session_id);
	assert_int_equal(g->job.claim, row.claim);
	assert_int_equal(g->job.times_claimed, 4);
	assert_int_equal(g->job.attempts, 1);
	assert_int_equal(g->job.max_attempts, 3);
	assert_false(g->job.full);
	assert_int_equal(g->bytes, row.data_bytes);
	assert_int_equal(g->deadline_ms - g->claimed_ms, 60000);
	assert_true(g->settle.stored_before);
	assert_ptr_equal(g->settlement.job, &g->job);
	assert_int_equal(g->job.nrated, 2);
	assert_int_equal(g->lines[0].line->index, 4);
	assert_int_equal(g->lines[1].line->index, 6);
	assert_ptr_equal(g->lines[1].owner, g);
	assert_string_equal(g->lines[0].key, g->lines[1].key);
	assert_int_equal(strlen(g->lines[0].key), PHRASE_KEY_SIZE - 1);
	grading_check(g);
	grading_free(g);

	row.times_claimed = 1;
	row.attempts = 0;
	row.job_type = "full_grading";
	g = grading_new(&row, &rater, false);
	assert_true(g->job.full);
	assert_false(g->settle.stored_before);
	assert_string_equal(g->lines[0].key, "");
	grading_free(g);

	row.counted_as = COUNTED_FAILED;
	g = grading_new(&row, &rater, false);
	assert_true(g->settle.stored_before);
}

static void check_rejected(const struct claimed_row *row, const char *error)
{
	g = grading_new(row, &rater, true);
	check_end("failed", true, error);
	assert_int_equal(g->phase, GRADING_DECIDED_IN_LOOKUP);
	assert_int_equal(g->job.nrated, 0);
	assert_false(grading_is_first(g));
	grading_check(g);
	assert_true(grading_end_lookup(g));
	assert_int_equal(g->phase, GRADING_DECIDED);
	assert_true(grading_attach(g));
	assert_int_equal(g->settlement.nlines, 0);
	teardown(NULL);
}

static void test_a_row_that_cannot_be_read_fails_at_once(void **state)
{
	struct claimed_row row = make_row(data, 0, 3, 0), bad;

	(void)state;
	bad = row;
	bad.job_type = "poem";
	check_rejected(&bad, "job_type is \"poem\"; gradingd knows line_rating and full_grading");
	bad = row;
	bad.session_id[0] = '\0';
	check_rejected(&bad, "session_id is null; ratings are stored by session");
	bad = row;
	bad.data = NULL;
	bad.data_bytes = -1;
	check_rejected(&bad, "job_data is null; it must hold {\"transcript\": [...]}");
	bad.data_bytes = 5000000;
	check_rejected(&bad, "job_data is 5000000 bytes long; the limit is 4194304");
}

/* The last batch, with fewer lines than the others have; lines without an index. */
static const char last_batch[] =
	"{\"transcript\":[{\"speaker\":\"rep\",\"text\":\"a\"},"
	"{\"speaker\":\"agent\",\"text\":\"b\"},{\"speaker\":\"user\",\"text\":\"c\"}],"
	"\"batchIndex\":2,\"batchSize\":3,\"totalBatches\":3}";

static void check_waits(const char *before, const char *marked)
{
	struct claimed_row row;

	earlier = before;
	row = make_row(last_batch, 0, 3, 0);
	g = grading_new(&row, &rater, true);
	assert_string_equal(g->settlement.status, "pending");
	assert_false(g->settlement.attempt);
	assert_int_equal(g->settlement.delay_ms, 4000);
	assert_non_null(strstr(g->settlement.error, "; it waits for them once"));
	assert_string_equal(g->settlement.result, marked);
	assert_int_equal(g->job.nrated, 0);
	grading_check(g);
	teardown(NULL);
}

static void test_a_batch_waits_once_for_what_others_tell(void **state)
{
	static const char *const waited[] = {
		"{\"waited_for_batches\": true}", "{\"calls\": 3, \"waited_for_batches\": true}",
	};
	struct claimed_row row;

	(void)state;
	config.queue.poll_ms = 4000;
	check_waits(NULL, waited[0]);
	check_waits("{}", waited[0]);
	check_waits("{\"calls\": 3}", waited[1]);
	for (size_t i = 0; i < sizeof(waited) / sizeof(waited[0]); i++) {
		earlier = waited[i];
		row = make_row(last_batch, 0, 3, 1);
		g = grading_new(&row, &rater, true);
		assert_string_equal(g->settlement.status, "failed");
		assert_true(g->settlement.attempt);
		assert_non_null(strstr(g->settlement.error, "is not known: batch 2"));
		teardown(NULL);
	}
	row.stride = 5;
	g = grading_new(&row, &rater, true);
	assert_false(grading_is_decided(g));
	assert_int_equal(g->lines[0].line->index, 10);
	assert_int_equal(g->lines[1].line->index, 12);
	assert_int_equal(g->job.stride, 5);
	assert_non_null(g->job.notice);
	earlier = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_job_is_what_its_row_says),
		TEST(test_a_row_that_cannot_be_read_fails_at_once),
		TEST(test_a_batch_waits_once_for_what_others_tell),
	};

	return cmocka_run_group_tests_name("grading", tests, NULL, NULL);
}
