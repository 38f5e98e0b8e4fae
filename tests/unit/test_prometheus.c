/*
 * prometheus.c and census.c: every metric is there, in valid Prometheus text and in JSON, and the
 * census counts right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>
#include <cmocka.h>

#include "base/clock.h"
#include "control/prometheus.h"
#include "fake_pool.h"
#include "scoreboard/census.h"

static struct buf out;

static int set_up(void **state)
{
	(void)state;
	fake_reset();
	buf_init(&out, 1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_free(&out);
	return 0;
}

static const char *text(void)
{
	buf_reset(&out);
	prometheus_render(fake.sb, &out);
	assert_true(buf_ok(&out));
	return buf_text(&out);
}

static struct json_object *json(void)
{
	struct json_object *object;

	buf_reset(&out);
	prometheus_render_json(fake.sb, &out);
	object = json_tokener_parse(buf_text(&out));
	assert_true(json_object_is_type(object, json_type_object));
	return object;
}

/* The value behind a name at the beginning of a line; -1 when there is no such line. */
static long long value_of(const char *all, const char *name)
{
	char line[128];
	long long value = -1;
	const char *p;

	snprintf(line, sizeof(line), "\ngradingd_%s ", name);
	p = strstr(all, line);
	if (p)
		assert_int_equal(sscanf(p + strlen(line), "%lld", &value), 1);
	return value;
}

static void test_counters_are_summed_over_slots(void **state)
{
	(void)state;
	slot_count(&fake.sb->slots[SLOT_JANITOR], COUNTER_STATEMENTS, 1);
	slot_count(&fake.sb->slots[1], COUNTER_STATEMENTS, 20);
	slot_count(&fake.sb->slots[SLOT_COUNT - 1], COUNTER_STATEMENTS, 300);
	assert_int_equal(value_of(text(), "statements_total"), 321);
	assert_int_equal(value_of(text(), "jobs_completed_total"), 0);
}

static void test_every_metric_has_help_type_and_value(void **state)
{
	const char *all = text();
	char line[256];

	(void)state;
	for (int i = 0; i < COUNTER_COUNT; i++) {
		snprintf(line, sizeof(line),
			 "# HELP gradingd_%s %s\n# TYPE gradingd_%s counter\ngradingd_%s 0\n",
			 counter_list[i].name, counter_list[i].help, counter_list[i].name,
			 counter_list[i].name);
		assert_non_null(strstr(all, line));
	}
}

/*
 * What a scraper refuses: another first word, a name with other characters, a name twice, no
 * newline.
 */
static void test_text_is_prometheus(void **state)
{
	char *copy, *rest = NULL, *seen[256];
	size_t n = 0;

	(void)state;
	copy = strdup(text());
	assert_int_equal(copy[strlen(copy) - 1], '\n');
	for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		size_t name;

		if (strncmp(line, "# HELP gradingd_", 16) == 0 ||
		    strncmp(line, "# TYPE gradingd_", 16) == 0) {
			assert_null(strchr(line, '\\'));
			continue;
		}
		name = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
		if (strncmp(line + name, "{le=\"", 5) == 0)
			name += strcspn(line + name, "}") + 1;
		assert_true(strncmp(line, "gradingd_", 9) == 0 && line[name] == ' ');
		assert_int_equal(strspn(line + name + 1, "0123456789."), strlen(line + name + 1));
		line[name] = '\0';
		for (size_t i = 0; i < n; i++)
			assert_string_not_equal(seen[i], line);
		assert_true(n < 256);
		seen[n++] = line;
	}
	assert_true(n > COUNTER_COUNT);
	free(copy);
}

static void test_unknown_gauges_are_left_out(void **state)
{
	struct json_object *object, *value;

	(void)state;
	assert_null(strstr(text(), "gradingd_queue_pending"));
	object = json();
	assert_true(json_object_object_get_ex(object, "gradingd_queue_pending", &value));
	assert_null(value);
	json_object_put(object);

	atomic_store(&fake.sb->gauges[GAUGE_QUEUE_PENDING], 42);
	atomic_store(&fake.sb->gauges_ms, now_ms());
	assert_int_equal(value_of(text(), "queue_pending"), 42);
	assert_in_range(value_of(text(), "queue_age_milliseconds"), 0, 10000);
}

static void test_json_has_the_same(void **state)
{
	struct json_object *object;
	const char *all;

	(void)state;
	slot_count(&fake.sb->slots[3], COUNTER_LINES_RATED, 5);
	for (int i = 0; i < GAUGE_COUNT; i++)
		atomic_store(&fake.sb->gauges[i], 100 + i);
	object = json();
	all = text();
	json_object_object_foreach(object, name, value) {
		assert_int_equal(strncmp(name, "gradingd_", 9), 0);
		if (json_object_is_type(value, json_type_int))
			assert_int_equal(value_of(all, name + 9), json_object_get_int64(value));
	}
	assert_int_equal(value_of(all, "lines_rated_total"), 5);
	assert_int_equal(value_of(all, gauge_list[GAUGE_QUEUE_DUE].name), 100 + GAUGE_QUEUE_DUE);
	json_object_put(object);
}

static void test_call_seconds(void **state)
{
	static const char expected[] =
		"# TYPE gradingd_rater_call_seconds histogram\n"
		"gradingd_rater_call_seconds_bucket{le=\"0.01\"} 0\n"
		"gradingd_rater_call_seconds_bucket{le=\"0.025\"} 2\n"
		"gradingd_rater_call_seconds_bucket{le=\"0.05\"} 2\n";
	struct json_object *object, *calls, *bucket;
	const char *all;

	(void)state;
	slot_count_call(&fake.sb->slots[1], 20, 0);
	slot_count_call(&fake.sb->slots[9], 25, 0);
	slot_count_call(&fake.sb->slots[1], 700, 0);
	slot_count_call(&fake.sb->slots[1], 500000, 0);
	slot_count(&fake.sb->slots[1], COUNTER_RATER_MS, 500745);
	all = text();
	assert_non_null(strstr(all, expected));
	assert_non_null(strstr(all, "_bucket{le=\"1\"} 3\n"));
	assert_non_null(strstr(
		all,
		"_bucket{le=\"120\"} 3\ngradingd_rater_call_seconds_bucket{le=\"+Inf\"} 4\n"
		"gradingd_rater_call_seconds_sum 500.745\ngradingd_rater_call_seconds_count 4\n"));
	object = json();
	assert_true(json_object_object_get_ex(object, "gradingd_rater_call_seconds", &calls));
	assert_int_equal(json_object_get_int64(json_object_object_get(calls, "count")), 4);
	assert_true(json_object_get_double(json_object_object_get(calls, "sum")) > 500.7);
	bucket = json_object_object_get(calls, "bucket");
	assert_int_equal(json_object_object_length(bucket), LATENCY_BUCKETS);
	assert_int_equal(json_object_get_int64(json_object_object_get(bucket, "0.5")), 2);
	assert_int_equal(json_object_get_int64(json_object_object_get(bucket, "+Inf")), 4);
	json_object_put(object);
}

static void test_cost_is_told_when_it_is_known(void **state)
{
	struct json_object *object, *cost;

	(void)state;
	assert_null(strstr(text(), "gradingd_cost_total"));
	object = json();
	assert_true(json_object_object_get_ex(object, "gradingd_cost_total", &cost));
	assert_null(cost);
	json_object_put(object);
	slot_count_call(&fake.sb->slots[1], 20, 1500000000);
	slot_count_call(&fake.sb->slots[2], 20, 120);
	assert_non_null(strstr(text(), "\ngradingd_cost_total 1.50000012\n"));
	object = json();
	assert_true(json_object_get_double(json_object_object_get(object, "gradingd_cost_total")) >
		    1.5);
	json_object_put(object);
}

static void put_child(int slot, enum slot_state state, unsigned in_flight)
{
	atomic_store(&fake.sb->slots[slot].pid, 1000 + slot);
	atomic_store(&fake.sb->slots[slot].state, state);
	atomic_store(&fake.sb->slots[slot].in_flight, in_flight);
}

static void test_census(void **state)
{
	struct census c;

	(void)state;
	put_child(SLOT_JANITOR, SLOT_IDLE, 0);
	put_child(1, SLOT_IDLE, 0);
	put_child(2, SLOT_BUSY, 7);
	put_child(3, SLOT_CONNECTING, 0);
	put_child(4, SLOT_DRAINING, 2);
	/* No state at all: hearsay is counted, not believed. */
	put_child(5, 4711, 0);
	atomic_store(&fake.sb->slots[6].state, SLOT_WAITING);
	c = scoreboard_census(fake.sb);
	assert_int_equal(c.alive, 5);
	assert_int_equal(c.idle, 1);
	assert_int_equal(c.busy, 1);
	assert_int_equal(c.connecting, 1);
	assert_int_equal(c.children, 6);
	assert_int_equal(c.connected, 4);
	assert_int_equal(c.in_flight, 9);
	assert_int_equal(value_of(text(), "workers_alive"), 5);
	assert_int_equal(value_of(text(), "jobs_in_flight"), 9);
}

static void test_breaker(void **state)
{
	(void)state;
	assert_int_equal(value_of(text(), "breaker_open"), 0);
	fake_trip();
	atomic_store(&fake.sb->breaker.probe_ms, now_ms());
	assert_int_equal(value_of(text(), "breaker_open"), 1);
}

static void test_the_cap_holds(void **state)
{
	struct buf small;

	(void)state;
	buf_init(&small, 100);
	prometheus_render_json(fake.sb, &small);
	assert_false(buf_ok(&small));
	buf_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counters_are_summed_over_slots, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_every_metric_has_help_type_and_value, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_text_is_prometheus, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_gauges_are_left_out, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_json_has_the_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_call_seconds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cost_is_told_when_it_is_known, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_census, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_breaker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_cap_holds, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
