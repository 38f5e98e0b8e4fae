/*
 * backends.c: which backend a configuration names, with backends that take the place of the real
 * ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rater/backends.h"
#include "rater/builtin.h"
#include "rater/command.h"
#include "rater/openai.h"

static int opened, closed;
static bool opened_as_fallback;

static int open_fine(struct rater *rater, struct err *err)
{
	(void)err;
	opened_as_fallback = rater->fallback;	/* whose program is not started yet */
	opened++;
	return 0;
}

static int open_fails(struct rater *rater, struct err *err)
{
	(void)rater;
	return err_set(err, ERR_CONFIG, "no key");
}

static void close_it(struct rater *rater)
{
	(void)rater;
	closed++;
}

const struct rater_ops rater_rubric_ops = { .open = open_fine, .close = close_it };
const struct rater_ops rater_openai_ops = { .open = open_fails, .close = close_it };
const struct rater_ops rater_command_ops = { .open = open_fine, .close = close_it };

static struct config make_config(int backend, int fallback)
{
	return (struct config){ .rater = { .backend = backend, .fallback = fallback } };
}

static void test_the_configured_backend_is_opened(void **state)
{
	static const struct { int number; const struct rater_ops *ops; } backends[] = {
		{ RATER_RUBRIC, &rater_rubric_ops }, { RATER_COMMAND, &rater_command_ops },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		struct config config = make_config(backends[i].number, RATER_NONE);
		struct err err = { 0 };
		struct rater *rater;

		opened = closed = 0;
		rater = backends_open(&config, NULL, &err);
		assert_non_null(rater);
		assert_ptr_equal(rater->ops, backends[i].ops);
		assert_ptr_equal(rater->config, &config);
		assert_false(opened_as_fallback);
		assert_int_equal(opened, 1);
		rater_free(rater);
		assert_int_equal(closed, 1);
	}
}

static void test_a_backend_that_cannot_open_is_reported(void **state)
{
	struct config config = make_config(RATER_OPENAI, RATER_OPENAI);
	struct err err = { 0 };

	(void)state;
	assert_null(backends_open(&config, NULL, &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_string_equal(err.text, "no key");
	assert_null(backends_open_fallback(&config, NULL, &err));
	assert_string_equal(err.text, "no key");
}

static void test_a_number_without_a_backend_is_refused(void **state)
{
	static const int numbers[] = { RATER_NONE, 99, -1 };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct config config = make_config(numbers[i], RATER_NONE);
		struct err err = { 0 };

		assert_null(backends_open(&config, NULL, &err));
		assert_int_equal(err.kind, ERR_CONFIG);
	}
}

static void test_a_fallback_is_a_second_rater(void **state)
{
	struct config config = make_config(RATER_RUBRIC, RATER_NONE);
	struct rater *rater, *fallback;
	struct err err = { .kind = ERR_CONFIG };

	(void)state;
	assert_null(backends_open_fallback(&config, NULL, &err));
	assert_int_equal(err.kind, ERR_NONE);
	config.rater.fallback = RATER_COMMAND;
	rater = backends_open(&config, NULL, &err);
	fallback = backends_open_fallback(&config, NULL, &err);
	assert_ptr_equal(rater->ops, &rater_rubric_ops);
	assert_ptr_equal(fallback->ops, &rater_command_ops);
	assert_true(opened_as_fallback && fallback->fallback && !rater->fallback);
	rater_free(rater);
	rater_free(fallback);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_configured_backend_is_opened),
		cmocka_unit_test(test_a_backend_that_cannot_open_is_reported),
		cmocka_unit_test(test_a_number_without_a_backend_is_refused),
		cmocka_unit_test(test_a_fallback_is_a_second_rater),
	};

	return cmocka_run_group_tests_name("backends", tests, NULL, NULL);
}
