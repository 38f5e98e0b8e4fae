/* sql_split.c, by which migrations are sent a statement at a time; and the migrations that are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/embed.h"
#include "ctl/sql_split.h"

/* texts: some SQL, the statements that it splits into, NULL. */
static void assert_splits(const char *const *texts)
{
	const char *sql = texts[0], *const *statements = texts + 1, *statement;
	size_t len, i = 0;

	while ((statement = sql_split_next(&sql, &len))) {
		assert_non_null(statements[i]);
		if (strlen(statements[i]) != len || memcmp(statement, statements[i], len) != 0)
			fail_msg("\"%.*s\" instead of \"%s\"", (int)len, statement, statements[i]);
		i++;
	}
	assert_null(statements[i]);
}
#define SPLITS(...) assert_splits((const char *const[]){ __VA_ARGS__, NULL })

static void test_plain_statements(void **state)
{
	(void)state;
	SPLITS("");
	SPLITS(" \n\t ; ;; \n");
	SPLITS("SELECT 1", "SELECT 1");
	SPLITS("SELECT 1;SELECT 2 ;\n SELECT 3\n", "SELECT 1", "SELECT 2", "SELECT 3");
}

static void test_comments(void **state)
{
	(void)state;
	SPLITS("-- a; b\nSELECT 1; -- c; d\n/* e; */ SELECT /* f; */ 2;-- g", "SELECT 1",
	       "SELECT /* f; */ 2");
	SPLITS("SELECT 1 -- it's; here\n, 2; SELECT 3", "SELECT 1 -- it's; here\n, 2", "SELECT 3");
	SPLITS("/* a /* nested; */ still; a comment */ SELECT 1; SELECT 2", "SELECT 1", "SELECT 2");
	SPLITS("/* never closed; SELECT 1");
	SPLITS("SELECT 4 - -1; SELECT 6 / 2 * 3;", "SELECT 4 - -1", "SELECT 6 / 2 * 3");
	SPLITS("SELECT '--'; SELECT '/*'; SELECT 1", "SELECT '--'", "SELECT '/*'", "SELECT 1");
}

static void test_strings_and_identifiers(void **state)
{
	(void)state;
	SPLITS("SELECT 'a;b''c;d'; SELECT 2", "SELECT 'a;b''c;d'", "SELECT 2");
	/*
	 * In a plain string a backslash is a backslash, in E'' it escapes, also after a doubled
	 * quote.
	 */
	SPLITS("SELECT 'a\\'; SELECT ';'", "SELECT 'a\\'", "SELECT ';'");
	SPLITS("SELECT E'a\\';b'; SELECT 2", "SELECT E'a\\';b'", "SELECT 2");
	SPLITS("SELECT e'a'';\\';b'; SELECT 2", "SELECT e'a'';\\';b'", "SELECT 2");
	SPLITS("SELECT type'a\\'; SELECT 2", "SELECT type'a\\'", "SELECT 2");
	SPLITS("SELECT \"a;\"\"b';\"; SELECT 2", "SELECT \"a;\"\"b';\"", "SELECT 2");
	SPLITS("SELECT 'never closed; SELECT 2", "SELECT 'never closed; SELECT 2");
}

static void test_dollar_quotes(void **state)
{
	(void)state;
	SPLITS("DO $$ BEGIN a; b; END $$; SELECT 2", "DO $$ BEGIN a; b; END $$", "SELECT 2");
	SPLITS("DO $f$ x; $$; y $g$; $f $f$; SELECT 2", "DO $f$ x; $$; y $g$; $f $f$", "SELECT 2");
	SPLITS("DO $$ '; -- $$; SELECT 2", "DO $$ '; -- $$", "SELECT 2");
	/* Parameters, and names with dollars in them, begin no body. */
	SPLITS("EXECUTE p($1); SELECT $2; SELECT a$b$; SELECT 1 AS b$b$", "EXECUTE p($1)",
	       "SELECT $2", "SELECT a$b$", "SELECT 1 AS b$b$");
	SPLITS("DO $\xc3\xa9$ a; $\xc3\xa9$; SELECT 2", "DO $\xc3\xa9$ a; $\xc3\xa9$", "SELECT 2");
	SPLITS("DO $$ never; closed", "DO $$ never; closed");
}

static void test_parentheses(void **state)
{
	(void)state;
	SPLITS("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT (2)); SELECT ')'; SELECT 3",
	       "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT (2))", "SELECT ')'",
	       "SELECT 3");
	SPLITS("SELECT 1); SELECT 2", "SELECT 1)", "SELECT 2");
}

/*
 * A statement that cannot run inside a transaction must stand alone, or the server takes it for
 * one.
 */
static void test_concurrent_indexes_of_the_migrations_stand_alone(void **state)
{
	int concurrent = 0;

	(void)state;
	for (size_t i = 0; i < embedded_migrations_n; i++) {
		const char *sql = embedded_migrations[i].text, *statement;
		size_t len;

		while ((statement = sql_split_next(&sql, &len))) {
			const char *word = memmem(statement, len, "CONCURRENTLY", 12);

			if (!word)
				continue;
			concurrent++;
			assert_true(memmem(statement, len, "CREATE INDEX CONCURRENTLY", 25) == statement ||
				    memmem(statement, len, "DROP INDEX CONCURRENTLY", 23) == statement);
			assert_null(memchr(statement, ';', len));
		}
	}
	assert_true(concurrent > 0);
}

static void test_migrations_are_in_the_order_of_their_numbers(void **state)
{
	(void)state;
	assert_true(embedded_migrations_n > 0);
	for (size_t i = 1; i < embedded_migrations_n; i++)
		assert_true(atoi(embedded_migrations[i - 1].name) <
			    atoi(embedded_migrations[i].name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_statements),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_strings_and_identifiers),
		cmocka_unit_test(test_dollar_quotes),
		cmocka_unit_test(test_parentheses),
		cmocka_unit_test(test_concurrent_indexes_of_the_migrations_stand_alone),
		cmocka_unit_test(test_migrations_are_in_the_order_of_their_numbers),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
