/* commands.c and show*.c: who may say what, what the pool is asked, and what the answers hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>
#include <cmocka.h>

#include "base/clock.h"
#include "control/commands.h"
#include "control/grammar.h"
#include "control/server.h"
#include "fake_pool.h"
#include "base/log.h"

static struct buf out;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	fake_reset();
	buf_init(&out, 1 << 20);
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_free(&out);
	return 0;
}

static int run_as(bool admin, const char *line)
{
	buf_reset(&out);
	err = (struct err){ 0 };
	return command_run(&fake.pool, line, admin, &out, &err);
}

static const char *answer(const char *line)
{
	assert_int_equal(run_as(true, line), 0);
	assert_true(buf_ok(&out));
	assert_true(out.len > 0 && out.data[out.len - 1] == '\n');
	return buf_text(&out);
}

/* Of "reload" the answer comes later, by control_answer(). */
static void obeys(const char *line)
{
	assert_int_equal(run_as(true, line), strcmp(line, "reload") == 0 ? CONTROL_GOES_ON : 0);
}

static const char *refusal(const char *line)
{
	assert_int_equal(run_as(true, line), -1);
	assert_true(err.text[0] && err.kind != ERR_NONE);
	assert_null(strchr(err.text, '\n'));
	return err.text;
}

static struct json_object *json_of(const char *line)
{
	struct json_object *object = json_tokener_parse(answer(line));

	assert_non_null(object);
	return object;
}

static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value))
		fail_msg("there is no key \"%s\"", name);
	return value;
}

static int64_t number(struct json_object *object, const char *name)
{
	assert_true(json_object_is_type(member(object, name), json_type_int));
	return json_object_get_int64(member(object, name));
}

static void assert_text(struct json_object *object, const char *name, const char *text)
{
	assert_true(json_object_is_type(member(object, name), json_type_string));
	assert_string_equal(json_object_get_string(member(object, name)), text);
}

/* ---- words ---- */

static void test_prefixes_name_the_same(void **state)
{
	static const char *const same[] = { "show version", "sh ver", "sh\tv", "show vers  ",
					    "\tsh v\t" };

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_non_null(strstr(answer(same[i]), "version:"));
	assert_non_null(strstr(answer("sh v json"), "{\"version\":"));
	assert_string_equal(refusal("s v"), "\"s\" could be: show, scale");
}

static void test_unknown_and_incomplete_words(void **state)
{
	(void)state;
	assert_non_null(strstr(refusal("frob"),
			       "unknown word \"frob\"; possible: show, pause, resume, drain"));
	assert_non_null(strstr(refusal("show frob"), "possible: status, workers, queue"));
	assert_non_null(strstr(refusal("show"), "show what? Possible: status, workers"));
	assert_non_null(strstr(refusal("sh"), "Possible: status"));
	assert_non_null(strstr(refusal(""), "do what? Possible: show"));
	assert_non_null(strstr(refusal("   "), "do what?"));
	assert_string_equal(refusal("re"), "\"re\" could be: resume, reload, recycle");
	assert_non_null(strstr(refusal("showstatus"), "unknown word"));
	assert_non_null(strstr(refusal("Show status"), "unknown word"));
	assert_string_equal(refusal("open"), "open what? Possible: breaker");
}

static void test_trailing_words_are_refused(void **state)
{
	(void)state;
	assert_string_equal(refusal("show status now"), "usage: show status [json]");
	assert_string_equal(refusal("show status json json"), "usage: show status [json]");
	assert_string_equal(refusal("pause json"), "usage: pause");
	assert_string_equal(refusal("scale"), "usage: scale N");
	assert_string_equal(refusal("scale 1 2"), "usage: scale N");
	assert_string_equal(refusal("recycle 1 2"), "usage: recycle [SLOT]");
	assert_non_null(strstr(refusal("1 2 3 4 5 6 7 8 9"), "more than 8 words"));
	assert_int_equal(fake.actions, 0);
}

static void test_bytes_that_are_no_words(void **state)
{
	char line[CONTROL_LINE_CAP + 2];

	(void)state;
	assert_non_null(strstr(refusal("show\x1b[2J status"), "no words"));
	assert_non_null(strstr(refusal("show \xff\xfe"), "no words"));
	assert_non_null(strstr(refusal("show status\n"), "no words"));
	memset(line, 'x', sizeof(line));
	line[CONTROL_LINE_CAP] = '\0';
	assert_non_null(strstr(refusal(line), "unknown word \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\""));
	line[CONTROL_LINE_CAP] = 'x';
	line[CONTROL_LINE_CAP + 1] = '\0';
	assert_non_null(strstr(refusal(line), "longer than 512"));
}

static void test_help_lists_what_works(void **state)
{
	struct json_object *list = json_of("help json");
	struct buf text;

	(void)state;
	assert_true(json_object_array_length(list) >= 18);
	buf_init(&text, 1 << 16);
	grammar_help(&text);
	assert_string_equal(answer("help"), buf_text(&text));
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *row = json_object_array_get_idx(list, i);
		const char *usage = json_object_get_string(member(row, "command"));
		char line[64];

		assert_non_null(strstr(buf_text(&text), usage));
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(usage, "[N"), usage);
		if (strncmp(usage, "log", 3) == 0)
			strcpy(line, "log error");
		else if (strncmp(usage, "scale", 5) == 0)
			strcpy(line, "scale 2");
		obeys(line);
		assert_int_equal(run_as(false, line),
				 json_object_get_boolean(member(row, "admin")) ? -1 : 0);
	}
	assert_null(strstr(buf_text(&text), "close it"));
	json_object_put(list);
	buf_free(&text);
}

/* ---- commands that change something ---- */

static void test_actions_reach_the_pool(void **state)
{
	static const struct { const char *line, *last; } cases[] = {
		{ "pause", "pause 1" },
		{ "resume", "pause 0" },
		{ "drain", "drain 1" },
		{ "reload", "reload 1" },
		{ "scale 12", "scale 12" },
		{ "scale 0", "scale 0" },
		{ "recycle", "recycle -1" },
		{ "recycle 3", "recycle 3" },
		{ "recy 0", "recycle 0" },
		{ "open breaker", "hold 1" },
		{ "close breaker", "release 1" },
		{ "open the breaker", "hold 1" },
		{ "close the breaker", "release 1" },
		{ "close it", "release 1" },
		{ "op br", "hold 1" },
		{ "log error", "log 0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		obeys(cases[i].line);
		assert_string_equal(fake.last, cases[i].last);
		assert_int_equal(fake.actions, i + 1);
	}
}

static void test_readers_change_nothing(void **state)
{
	static const char *const lines[] = {
		"pause", "resume", "drain", "reload", "scale 3", "recycle", "log debug",
		"open breaker", "close breaker", "open the breaker", "close it",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(run_as(false, lines[i]), -1);
		assert_non_null(strstr(err.text, "is for root and the user gradingd runs as"));
		assert_int_equal(out.len, 0);
	}
	assert_int_equal(fake.actions, 0);
	assert_int_equal(log_get_level(), LOG_LEVEL_ERROR);
	assert_int_equal(run_as(false, "show status"), 0);
}

static void test_refusals_are_passed_on(void **state)
{
	(void)state;
	fake.refuse = true;
	assert_string_equal(refusal("reload"), "reload refused");
	assert_string_equal(refusal("scale 3"), "scale refused");
	assert_string_equal(refusal("recycle 3"), "recycle refused");
}

static void test_numbers(void **state)
{
	static const char *const bad[] = {
		"scale -1", "scale 1x", "scale 0x10", "scale +3", "scale 1234567", "scale x",
		"recycle -1", "recycle worker", "recycle 258",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refusal(bad[i]);
	assert_int_equal(fake.actions, 0);
	assert_non_null(strstr(refusal("recycle 258"), "no slot 258"));
	answer("recycle 256");
}

static void test_log_level(void **state)
{
	(void)state;
	answer("log warn");
	assert_int_equal(log_get_level(), LOG_LEVEL_WARN);
	assert_non_null(strstr(refusal("log loud"), "\"loud\" is not a level"));
	assert_int_equal(log_get_level(), LOG_LEVEL_WARN);
}

/* ---- what the views show ---- */

static struct slot *put_child(int i, enum slot_state state, unsigned in_flight)
{
	struct slot *slot = &fake.sb->slots[i];

	atomic_store(&slot->pid, 1000 + i);
	atomic_store(&slot->state, state);
	atomic_store(&slot->started_ms, now_ms() - 3600000);
	atomic_store(&slot->beat_ms, now_ms() - 200);
	atomic_store(&slot->generation, 3);
	atomic_store(&slot->in_flight, in_flight);
	return slot;
}

static void put_pool(void)
{
	struct slot *slot;

	atomic_store(&fake.sb->phase, POOL_UP);
	atomic_store(&fake.sb->workers, 3);
	atomic_store(&fake.sb->listening, 1);
	atomic_store(&fake.sb->restarts, 4);
	put_child(SLOT_JANITOR, SLOT_IDLE, 0);
	slot = put_child(1, SLOT_BUSY, 9);
	slot_count(slot, COUNTER_JOBS_CLAIMED, 110);
	slot_count(slot, COUNTER_JOBS_COMPLETED, 100);
	slot_count(slot, COUNTER_JOBS_FAILED, 1);
	slot_count(slot, COUNTER_LINES_RATED, 500);
	slot_count(slot, COUNTER_LINES_FAILED, 2);
	slot_count(slot, COUNTER_OUTCOME_RATED, 500);
	slot_count(slot, COUNTER_OUTCOME_UNKNOWN, 3);
	slot_count(slot, COUNTER_CACHE_HITS, 1);
	slot_count(slot, COUNTER_CACHE_MISSES, 2);
	put_child(2, SLOT_IDLE, 0);
	put_child(3, SLOT_IDLE, 0);
}

static void test_status(void **state)
{
	struct json_object *o;

	(void)state;
	put_pool();
	o = json_of("show status json");
	assert_text(o, "summary", "at work");
	assert_text(o, "version", VERSION);
	assert_text(o, "phase", "up");
	assert_false(json_object_get_boolean(member(o, "paused")));
	assert_in_range(number(o, "uptime_ms"), 0, 60000);
	assert_int_equal(number(o, "workers_wanted"), 3);
	assert_int_equal(number(o, "workers_alive"), 3);
	assert_int_equal(number(o, "workers_idle"), 2);
	assert_int_equal(number(o, "workers_busy"), 1);
	assert_int_equal(number(o, "workers_connecting"), 0);
	assert_int_equal(number(o, "restarts"), 4);
	assert_int_equal(number(o, "jobs_in_flight"), 9);
	assert_int_equal(number(o, "jobs_completed"), 100);
	assert_int_equal(number(o, "jobs_failed"), 1);
	assert_int_equal(number(o, "jobs_retried"), 0);
	assert_int_equal(number(o, "lines_rated"), 500);
	assert_int_equal(number(o, "lines_failed"), 2);
	assert_text(o, "outcomes", "rated 500, unknown_rating 3");
	assert_string_equal(json_object_get_string(member(o, "cache_hit_percent")), "33.3");
	assert_text(o, "rater", "openai");
	assert_text(o, "model", "model-x");
	assert_text(o, "breaker", "closed");
	assert_null(member(o, "breaker_until_ms"));
	assert_null(member(o, "breaker_reason"));
	assert_int_equal(number(o, "children"), 4);
	assert_int_equal(number(o, "database_connected"), 4);
	assert_true(json_object_get_boolean(member(o, "database_listening")));
	assert_null(member(o, "queue_pending"));
	assert_null(member(o, "queue_age_ms"));
	json_object_put(o);
}

static void test_status_tells_of_calls(void **state)
{
	struct slot *slot = &fake.sb->slots[1];
	struct json_object *o;

	(void)state;
	put_pool();
	o = json_of("show status json");
	assert_int_equal(number(o, "calls"), 0);
	assert_null(member(o, "call_p50_ms"));
	assert_int_equal(number(o, "tokens_last_minute"), 0);
	assert_null(member(o, "cost"));
	assert_null(member(o, "queue_empty_in_ms"));
	json_object_put(o);

	recent_take(&fake.recent, fake.sb, now_ms() - 30000);
	slot_count(slot, COUNTER_RATER_CALLS, 4);
	slot_count(slot, COUNTER_PROMPT_TOKENS, 300);
	slot_count(slot, COUNTER_COMPLETION_TOKENS, 20);
	slot_count(slot, COUNTER_JOBS_COMPLETED, 10);
	slot_count_call(slot, 700, 1500000000);
	atomic_store(&fake.sb->gauges[GAUGE_QUEUE_PENDING], 100);
	fake.config.openai.prompt_price = 1;
	o = json_of("show status json");
	assert_int_equal(number(o, "calls"), 4);
	assert_int_equal(number(o, "call_p50_ms"), 750);
	assert_int_equal(number(o, "call_p99_ms"), 995);
	assert_int_equal(number(o, "tokens_last_minute"), 320);
	assert_string_equal(json_object_get_string(member(o, "cost")), "1.500000");
	/* 10 in 30 s, 100 to go. */
	assert_in_range(number(o, "queue_empty_in_ms"), 299000, 360000);
	json_object_put(o);

	atomic_store(&fake.sb->gauges[GAUGE_QUEUE_PENDING], 0);
	o = json_of("show status json");
	assert_null(member(o, "queue_empty_in_ms"));
	json_object_put(o);
}

static void test_status_is_readable(void **state)
{
	(void)state;
	put_pool();
	answer("show status");
	assert_non_null(strstr(buf_text(&out), "summary:            at work\n"));
	assert_non_null(strstr(buf_text(&out), "\ncache hit percent:  33.3\n"));
	assert_non_null(strstr(buf_text(&out), "\nqueue oldest due:   -\n"));
}

static void assert_summary(const char *text)
{
	struct json_object *o = json_of("show status json");

	if (!strstr(json_object_get_string(member(o, "summary")), text))
		fail_msg("\"%s\" is not in \"%s\"", text,
			 json_object_get_string(member(o, "summary")));
	json_object_put(o);
}

static void test_summary_names_what_is_in_the_way(void **state)
{
	(void)state;
	assert_summary("starting");
	put_pool();
	atomic_store(&fake.sb->slots[2].pid, 0);
	assert_summary("not all children are up");
	fake_trip();
	atomic_store(&fake.sb->breaker.probe_ms, now_ms());
	assert_summary("the breaker is open");
	atomic_store(&fake.sb->breaker.kind, ERR_LIMITED);
	assert_summary("it limits our rate");
	atomic_store(&fake.sb->breaker.kind, ERR_DENIED);
	assert_summary("waiting for an operator");
	atomic_store(&fake.sb->breaker.kind, 4711);
	assert_summary("the breaker is open");
	answer("open breaker");
	assert_summary("held open by an operator");
	answer("pause");
	assert_summary("paused by an operator");
	for (int i = 0; i < 4; i++)
		atomic_store(&fake.sb->slots[i].state, SLOT_CONNECTING);
	assert_summary("waiting for the database");
	atomic_store(&fake.sb->phase, POOL_DRAINING);
	assert_summary("draining");
	atomic_store(&fake.sb->phase, 77);
	assert_non_null(strstr(answer("show status json"), "\"phase\":\"?\""));
}

static void test_workers(void **state)
{
	struct json_object *list, *o;

	(void)state;
	assert_string_equal(answer("show workers"), "none\n");
	put_pool();
	fake.crashes = 2;
	fake.restart_in_ms = 750;
	shared_text_set(&fake.sb->slots[1].error, "cannot reach the rater");
	atomic_store(&fake.sb->slots[9].state, SLOT_WAITING);
	list = json_of("show workers json");
	assert_int_equal(json_object_array_length(list), 5);

	o = json_object_array_get_idx(list, 0);
	assert_int_equal(number(o, "slot"), SLOT_JANITOR);
	assert_text(o, "role", "janitor");
	assert_null(member(o, "restart_in_ms"));

	o = json_object_array_get_idx(list, 1);
	assert_int_equal(number(o, "pid"), 1001);
	assert_text(o, "role", "worker");
	assert_text(o, "state", "busy");
	assert_in_range(number(o, "age_ms"), 3600000, 3660000);
	assert_in_range(number(o, "beat_age_ms"), 200, 60000);
	assert_int_equal(number(o, "in_flight"), 9);
	assert_int_equal(number(o, "claimed"), 110);
	assert_int_equal(number(o, "completed"), 100);
	assert_int_equal(number(o, "failed"), 1);
	assert_int_equal(number(o, "lines"), 500);
	assert_int_equal(number(o, "restarts"), 2);
	assert_int_equal(number(o, "crashes"), 2);
	assert_int_equal(number(o, "restart_in_ms"), 750);
	assert_text(o, "error", "cannot reach the rater");

	o = json_object_array_get_idx(list, 4);
	assert_int_equal(number(o, "slot"), 9);
	assert_text(o, "state", "waiting");
	assert_null(member(o, "pid"));
	assert_null(member(o, "age_ms"));
	assert_null(member(o, "error"));
	json_object_put(list);
}

static void test_queue(void **state)
{
	struct json_object *o;

	(void)state;
	for (int i = 0; i < GAUGE_COUNT; i++)
		atomic_store(&fake.sb->gauges[i], 10 + i);
	atomic_store(&fake.sb->gauges_ms, now_ms() - 1000);
	o = json_of("show queue json");
	assert_int_equal(number(o, "pending"), 10 + GAUGE_QUEUE_PENDING);
	assert_int_equal(number(o, "due"), 10 + GAUGE_QUEUE_DUE);
	assert_int_equal(number(o, "processing"), 10 + GAUGE_QUEUE_PROCESSING);
	assert_int_equal(number(o, "failed"), 10 + GAUGE_QUEUE_FAILED);
	assert_int_equal(number(o, "oldest_due_ms"), 10 + GAUGE_QUEUE_OLDEST_MS);
	assert_in_range(number(o, "age_ms"), 1000, 60000);
	json_object_put(o);
}

static void test_errors_come_newest_first(void **state)
{
	struct json_object *list;

	(void)state;
	assert_string_equal(answer("show errors"), "none\n");
	shared_text_set(&fake.sb->slots[4].error, "older");
	atomic_store(&fake.sb->slots[4].error.wall_ms, wall_ms() - 60000);
	shared_text_set(&fake.sb->slots[200].error, "newer");
	shared_text_set(&fake.sb->breaker.reason, "oldest");
	atomic_store(&fake.sb->breaker.reason.wall_ms, wall_ms() - 120000);
	shared_text_set(&fake.sb->slots[5].error, "");
	list = json_of("show errors json");
	assert_int_equal(json_object_array_length(list), 3);
	assert_text(json_object_array_get_idx(list, 0), "error", "newer");
	assert_int_equal(number(json_object_array_get_idx(list, 0), "slot"), 200);
	assert_text(json_object_array_get_idx(list, 1), "error", "older");
	assert_in_range(number(json_object_array_get_idx(list, 1), "age_ms"), 60000, 120000);
	assert_text(json_object_array_get_idx(list, 2), "role", "breaker");
	assert_null(member(json_object_array_get_idx(list, 2), "slot"));
	json_object_put(list);
}

static void test_errors_tell_what_the_log_cannot(void **state)
{
	struct json_object *list, *row, *o;

	(void)state;
	fake.sb->slots[3].log_loss = (struct log_loss){
		.dropped = 12, .wall_ms = wall_ms() - 2000, .reason = ENOSPC, .failing = 1
	};
	atomic_store(&fake.sb->slots[3].pid, 42);
	fake.sb->log_loss = (struct log_loss){ .dropped = 1, .wall_ms = 5, .reason = EAGAIN };
	list = json_of("show errors json");
	assert_int_equal(json_object_array_length(list), 1);
	row = json_object_array_get_idx(list, 0);
	assert_text(row, "role", "log");
	assert_null(member(row, "slot"));
	assert_text(row, "error", "13 lines of the log dropped, the last one: "
		    "No space left on device");
	assert_in_range(number(row, "age_ms"), 2000, 60000);
	json_object_put(list);
	o = json_of("show status json");
	assert_int_equal(number(o, "log_lines_dropped"), 13);
	assert_text(o, "log_error", "No space left on device");
	json_object_put(o);
	atomic_store(&fake.sb->slots[3].log_loss.failing, 0);
	o = json_of("show status json");
	assert_null(member(o, "log_error"));
	json_object_put(o);
}

static void test_errors_name_rows_that_are_refused(void **state)
{
	const struct err guard = { .sqlstate = "55000", .text = "not now (SQLSTATE 55000)" };
	struct json_object *list, *o;

	(void)state;
	put_pool();
	shared_text_set(&fake.sb->slots[1].error, "another error");
	atomic_store(&fake.sb->slots[1].error.wall_ms, wall_ms() - 60000);
	refused_put(&fake.sb->slots[0].refused, "reap", "0198", &guard, now_ms(),
		    now_ms() + 40500);
	list = json_of("show errors json");
	assert_int_equal(json_object_array_length(list), 2);
	o = json_object_array_get_idx(list, 0);
	assert_text(o, "row", "0198");
	assert_text(o, "role", "janitor");
	assert_text(o, "error", "`reap` is refused 0198: not now (SQLSTATE 55000); tried again in "
		    "40 s");
	assert_null(member(json_object_array_get_idx(list, 1), "row"));
	json_object_put(list);
	atomic_store(&fake.sb->slots_used, 4);
	o = json_of("show status json");
	assert_int_equal(number(o, "rows_refused"), 1);
	json_object_put(o);
}

/* A child that died while it wrote leaves an odd count: no text, and no waiting for it. */
static void test_a_torn_text_is_no_text(void **state)
{
	struct json_object *list;

	(void)state;
	put_child(1, SLOT_BUSY, 0);
	shared_text_set(&fake.sb->slots[1].error, "half writ");
	atomic_fetch_add(&fake.sb->slots[1].error.seq, 1);
	list = json_of("show errors json");
	assert_null(member(json_object_array_get_idx(list, 0), "error"));
	json_object_put(list);
}

static void test_limits(void **state)
{
	struct json_object *o;
	struct permit permit;
	int64_t wait_ms;
	struct call_end end;
	int reserved;

	(void)state;
	fake_trip();
	atomic_store(&fake.sb->breaker.failures, 6);
	atomic_store(&fake.sb->breaker.trips, 2);
	shared_text_set(&fake.sb->breaker.reason, "the provider answers 503");
	o = json_of("show limits json");
	assert_text(o, "breaker", "open");
	assert_false(json_object_get_boolean(member(o, "held")));
	assert_in_range(number(o, "until_ms"), 1, 30000);
	assert_int_equal(number(o, "failures"), 6);
	assert_int_equal(number(o, "trips"), 2);
	assert_text(o, "reason", "the provider answers 503");
	assert_int_equal(number(o, "requests_per_minute"), 600);
	assert_int_equal(number(o, "tokens_per_minute"), 90000);
	assert_null(member(o, "requests_free"));	/* no worker keeps to one yet */
	assert_null(member(o, "next_claim_ms"));
	assert_null(member(o, "tokens_per_call"));
	assert_null(member(o, "calls_window"));
	assert_int_equal(number(o, "calls_open"), 0);
	json_object_put(o);

	throttle_set(&fake.sb->throttle, 600, 90000, now_ms() - 1000000);
	atomic_store(&fake.sb->slots[1].pid, 1);
	o = json_of("show limits json");
	assert_int_equal(number(o, "requests_free"), 8);
	assert_int_equal(number(o, "next_claim_ms"), 0);
	json_object_put(o);
	reserved = throttle_reserve(&fake.sb->throttle, SLOT_FIRST_WORKER, 100, false, now_ms(),
				    &permit, &wait_ms);
	assert_int_equal(reserved, 3);
	throttle_sent(&fake.sb->throttle, &permit, 40000, now_ms());
	end = (struct call_end){ .permit = permit, .sent_ms = now_ms(), .tokens = 30000,
				 .limited = true };
	throttle_settle(&fake.sb->throttle, &end, now_ms());
	o = json_of("show limits json");
	assert_int_equal(number(o, "requests_last_minute"), 1);
	assert_in_range(number(o, "requests_free"), 5, 6);
	assert_int_equal(number(o, "tokens_last_minute"), 30000);
	assert_int_equal(number(o, "tokens_free"), 0);
	assert_int_equal(number(o, "tokens_per_call"), 30000);
	assert_in_range(number(o, "next_claim_ms"), 15000, 25000);
	assert_int_equal(number(o, "calls_open"), 3);
	assert_int_equal(number(o, "calls_window"), 2);
	assert_int_equal(number(o, "window_halvings"), 1);
	json_object_put(o);
	fake_untrip();
	atomic_store(&fake.sb->phase, POOL_UP);
	atomic_store(&fake.sb->workers, 1);
	atomic_store(&fake.sb->slots[1].state, SLOT_IDLE);
	assert_summary("as far as requests or tokens a minute allow");
	fake_trip();

	answer("open breaker");
	o = json_of("show limits json");
	assert_text(o, "breaker", "held open");
	assert_true(json_object_get_boolean(member(o, "held")));
	assert_null(member(o, "until_ms"));
	json_object_put(o);
}

static void test_config_metrics_version(void **state)
{
	struct json_object *o;

	(void)state;
	assert_non_null(strstr(answer("show config"), "openai.model"));
	o = json_of("show config json");
	assert_int_equal(json_object_array_length(o), config_keys_n);
	for (size_t i = 0; i < config_keys_n; i++) {
		struct json_object *row = json_object_array_get_idx(o, i);

		assert_text(row, "key", config_keys[i].path);
		if (strcmp(config_keys[i].path, "openai.model") == 0)
			assert_text(row, "value", "model-x");
	}
	json_object_put(o);
	assert_non_null(
		strstr(answer("show metrics"), "# TYPE gradingd_jobs_claimed_total counter\n"));
	o = json_of("show metrics json");
	assert_int_equal(number(o, "gradingd_jobs_claimed_total"), 0);
	json_object_put(o);
	o = json_of("show version json");
	assert_int_equal(number(o, "scoreboard_bytes"), sizeof(struct scoreboard));
	assert_int_equal(number(o, "pid"), getpid());
	json_object_put(o);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_prefixes_name_the_same),
		TEST(test_unknown_and_incomplete_words),
		TEST(test_trailing_words_are_refused),
		TEST(test_bytes_that_are_no_words),
		TEST(test_help_lists_what_works),
		TEST(test_actions_reach_the_pool),
		TEST(test_readers_change_nothing),
		TEST(test_refusals_are_passed_on),
		TEST(test_numbers),
		TEST(test_log_level),
		TEST(test_status),
		TEST(test_status_tells_of_calls),
		TEST(test_status_is_readable),
		TEST(test_summary_names_what_is_in_the_way),
		TEST(test_workers),
		TEST(test_queue),
		TEST(test_errors_come_newest_first),
		TEST(test_errors_tell_what_the_log_cannot),
		TEST(test_errors_name_rows_that_are_refused),
		TEST(test_a_torn_text_is_no_text),
		TEST(test_limits),
		TEST(test_config_metrics_version),
	};

	return cmocka_run_group_tests_name("commands", tests, NULL, NULL);
}
