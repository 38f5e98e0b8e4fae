/*
 * uuid5.c: the RFC's own example, others made by Python's uuid module, and what counts as a uuid.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/uuid5.h"

static void test_rfc_9562_example(void **state)
{
	char uuid[UUID_SIZE];

	(void)state;
	uuid5_make(uuid5_namespace_dns, "www.example.com", strlen("www.example.com"), uuid);
	assert_string_equal(uuid, "2ed6657d-e927-568b-95e1-2665a8aea6a2");	/* appendix A.4 */
}

static void test_ids_map_into_the_namespace_url(void **state)
{
	static const struct { const char *id, *uuid; } cases[] = {
		{ "https://example.com/calls/17", "1f50761c-4ef7-5084-b9fd-2dc81f2df1f6" },
		{ "20180904-045349_715_live", "d6037f43-28d8-5f27-868e-a07dbb33b3d2" },
		{ "Anruf \xc3\xbc" "ber Gr\xc3\xb6\xc3\x9f" "e",
		  "7567c974-3083-5af5-a843-3ab1293039c2" },
		{ "", "1b4db7eb-4057-5ddf-91e0-36dec72071f5" },
	};
	char uuid[UUID_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uuid5_from_id(cases[i].id, uuid);
		assert_string_equal(uuid, cases[i].uuid);
		assert_true(uuid5_is_uuid(uuid));
	}
}

static void test_a_uuid_stays_itself_in_lower_case(void **state)
{
	char uuid[UUID_SIZE];

	(void)state;
	uuid5_from_id("0190A1B2-c3d4-7E5F-8a9b-0C1D2E3F4A5B", uuid);
	assert_string_equal(uuid, "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
}

static void test_what_is_no_uuid(void **state)
{
	static const char *const texts[] = {
		"", "0190a1b2", "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5",
		"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5bb",
		"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5g", "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b",
		"{0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b}", "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b ",
		"0190a1b20c3d4-7e5f-8a9b-0c1d2e3f4a5b",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(uuid5_is_uuid(texts[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_9562_example),
		cmocka_unit_test(test_ids_map_into_the_namespace_url),
		cmocka_unit_test(test_a_uuid_stays_itself_in_lower_case),
		cmocka_unit_test(test_what_is_no_uuid),
	};

	return cmocka_run_group_tests_name("uuid5", tests, NULL, NULL);
}
