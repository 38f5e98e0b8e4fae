/* pgbinary.c and uuid.c: bytes as Postgres' receive functions want them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pg/pgbinary.h"

static struct buf b;

static int begin(void **state)
{
	(void)state;
	buf_init(&b, 1000);
	return 0;
}

static int end(void **state)
{
	(void)state;
	buf_free(&b);
	return 0;
}

static void assert_bytes(const char *bytes, size_t len)
{
	assert_true(buf_ok(&b));
	assert_int_equal(b.len, len);
	assert_memory_equal(b.data, bytes, len);
}
#define ASSERT_BYTES(literal) assert_bytes(literal, sizeof(literal) - 1)

static void test_numbers_are_big_endian(void **state)
{
	(void)state;
	pgbinary_int4(&b, -2);
	pgbinary_int8(&b, INT64_C(0x0102030405060708));
	ASSERT_BYTES("\xff\xff\xff\xfe\1\2\3\4\5\6\7\10");
}

static void test_an_array_counts_its_items(void **state)
{
	(void)state;
	pgitems_begin(&b, PG_INT4);
	ASSERT_BYTES("\0\0\0\1" "\0\0\0\0" "\0\0\0\27" "\0\0\0\0" "\0\0\0\1");
	pgitem_int4(&b, 5);
	pgitem_int4(&b, 6);
	ASSERT_BYTES("\0\0\0\1" "\0\0\0\0" "\0\0\0\27" "\0\0\0\2" "\0\0\0\1" "\0\0\0\4\0\0\0\5"
		     "\0\0\0\4\0\0\0\6");
}

static void test_a_null_is_said_at_the_head(void **state)
{
	(void)state;
	pgitems_begin(&b, PG_TEXT);
	pgitem_text(&b, "");
	pgitem_text(&b, NULL);
	ASSERT_BYTES("\0\0\0\1" "\0\0\0\1" "\0\0\0\31" "\0\0\0\2" "\0\0\0\1" "\0\0\0\0"
		     "\xff\xff\xff\xff");
}

static void test_jsonb_has_a_version(void **state)
{
	(void)state;
	pgitems_begin(&b, PG_JSONB);
	pgitem_jsonb(&b, "{}");
	pgitem_jsonb(&b, NULL);
	ASSERT_BYTES("\0\0\0\1" "\0\0\0\1" "\0\0\16\332" "\0\0\0\2" "\0\0\0\1" "\0\0\0\3\1{}"
		     "\xff\xff\xff\xff");
}

static void test_a_begun_array_is_empty_again(void **state)
{
	(void)state;
	pgitems_begin(&b, PG_BOOL);
	pgitem_bool(&b, true);
	pgitems_begin(&b, PG_BOOL);
	pgitem_bool(&b, false);
	ASSERT_BYTES("\0\0\0\1" "\0\0\0\0" "\0\0\0\20" "\0\0\0\1" "\0\0\0\1" "\0\0\0\1\0");
}

static void test_an_array_of_nulls_only_can_be_dropped(void **state)
{
	(void)state;
	pgitems_begin(&b, PG_TEXT);
	pgitem_text(&b, NULL);
	pgitem_null(&b);
	pgitems_drop_nulls(&b);
	ASSERT_BYTES("\0\0\0\1" "\0\0\0\0" "\0\0\0\31" "\0\0\0\0" "\0\0\0\1");
	pgitem_text(&b, "");
	pgitem_null(&b);
	pgitems_drop_nulls(&b);		/* an empty text is none */
	ASSERT_BYTES("\0\0\0\1" "\0\0\0\1" "\0\0\0\31" "\0\0\0\2" "\0\0\0\1" "\0\0\0\0"
		     "\xff\xff\xff\xff");
	pgitems_begin(&b, PG_INT4);
	pgitem_int4(&b, -1);
	pgitems_drop_nulls(&b);
	ASSERT_BYTES("\0\0\0\1" "\0\0\0\0" "\0\0\0\27" "\0\0\0\1" "\0\0\0\1"
		     "\0\0\0\4\xff\xff\xff\xff");
}

static void test_beyond_the_cap_nothing_is_written(void **state)
{
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pgitems_begin(&b, PG_TEXT);
	pgitem_text(&b, text);
	assert_false(buf_ok(&b));
	pgitem_text(&b, "more");
	assert_false(buf_ok(&b));
	buf_free(&b);
	buf_init(&b, 3);
	pgitems_begin(&b, PG_UUID);
	pgitem_uuid(&b, "00000000-0000-0000-0000-000000000000");
	assert_false(buf_ok(&b));
}

static void test_a_uuid_there_and_back(void **state)
{
	static const char uuid[] = "0190a5b2-c3d4-7e6f-8899-aabbccddeeff";
	unsigned char bytes[UUID_BYTES];
	char text[UUID_SIZE];

	(void)state;
	uuid_bytes(uuid, bytes);
	assert_memory_equal(bytes,
			    "\x01\x90\xa5\xb2\xc3\xd4\x7e\x6f\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
			    UUID_BYTES);
	uuid_text(bytes, text);
	assert_string_equal(text, uuid);
	uuid_bytes("0190A5B2-C3D4-7E6F-8899-AABBCCDDEEFF", bytes);
	uuid_text(bytes, text);
	assert_string_equal(text, uuid);
	uuid_bytes("1", bytes);		/* reads no further than the text */
	uuid_text(bytes, text);
	assert_string_equal(text, "01000000-0000-0000-0000-000000000000");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_numbers_are_big_endian), TEST(test_an_array_counts_its_items),
		TEST(test_a_null_is_said_at_the_head), TEST(test_jsonb_has_a_version),
		TEST(test_a_begun_array_is_empty_again),
		TEST(test_an_array_of_nulls_only_can_be_dropped),
		TEST(test_beyond_the_cap_nothing_is_written),
		TEST(test_a_uuid_there_and_back),
	};

	return cmocka_run_group_tests_name("pgbinary", tests, NULL, NULL);
}
