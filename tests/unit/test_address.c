/* address.c: the first and last address of each range, and those just outside of it. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/address.h"

static bool is_inside(const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	char back[ADDRESS_TEXT_SIZE];

	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
		return address_is_inside((struct sockaddr *)&v6, sizeof(v6));
	}
	assert_int_equal(inet_pton(AF_INET, text, &v4.sin_addr), 1);
	address_text((struct sockaddr *)&v4, sizeof(v4), back);
	assert_string_equal(back, text);
	return address_is_inside((struct sockaddr *)&v4, sizeof(v4));
}

static void check(const char *const *texts, bool inside)
{
	for (; *texts; texts++)
		if (is_inside(*texts) != inside)
			fail_msg("%s is taken to be %s", *texts, inside ? "outside" : "inside");
}

static void test_inside(void **state)
{
	static const char *const texts[] = {
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0",
		"100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254",
		"169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.192",
		"192.0.2.1", "192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0",
		"198.19.255.255", "198.51.100.7", "203.0.113.255", "224.0.0.1", "239.255.255.255",
		"240.0.0.0", "255.255.255.255",
		"::", "::1", "::2", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254",
		"::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1",
		"2001::1", "2001:1ff:ffff::", "2001:db8::1", "2002:7f00:1::", "2002:a01:203::1",
		"2002:c0a8:101::1", "3fff::1", "3fff:fff:ffff::", "5f00::1", "4000::1", "fc00::1",
		"fd00:ec2::254", "fdff:ffff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1",
		NULL
	};

	(void)state;
	check(texts, true);
}

static void test_outside(void **state)
{
	static const char *const texts[] = {
		"1.0.0.0", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
		"126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255",
		"172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "198.51.99.255", "203.0.112.1", "223.255.255.255",
		"2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7::1", "2001:db9::1",
		"2003::1", "2606:4700:4700::1111", "3ffe::1", "3fff:1000::1", "::ffff:8.8.8.8",
		"64:ff9b::8.8.8.8", "2002:808:808::1",
		NULL
	};

	(void)state;
	check(texts, false);
}

static void test_other_families_and_cut_addresses_are_inside(void **state)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "/run/docker.sock" };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	char text[ADDRESS_TEXT_SIZE];

	(void)state;
	assert_true(address_is_inside((struct sockaddr *)&path, sizeof(path)));
	address_text((struct sockaddr *)&path, sizeof(path), text);
	assert_string_equal(text, "an address of family 1");
	inet_pton(AF_INET, "8.8.8.8", &v4.sin_addr);
	assert_false(address_is_inside((struct sockaddr *)&v4, sizeof(v4)));
	assert_true(address_is_inside((struct sockaddr *)&v4, sizeof(v4) - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_other_families_and_cut_addresses_are_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
