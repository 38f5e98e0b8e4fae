/*
 * The table of addresses that are not of the public internet: IANA's IPv4 and IPv6 Special-Purpose
 * Address Registries, and multicast. Pure; any process.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct { uint32_t prefix; unsigned bits; } inside4[] = {
	{ 0x00000000, 8 },		/* 0.0.0.0/8: this network; 0.0.0.0 leads to this host */
	{ 0x0a000000, 8 },		/* 10.0.0.0/8: private */
	{ 0x64400000, 10 },		/* 100.64.0.0/10: carriers' NAT */
	{ 0x7f000000, 8 },		/* 127.0.0.0/8: loopback */
	{ 0xa9fe0000, 16 },		/* 169.254.0.0/16: link local, metadata of clouds */
	{ 0xac100000, 12 },		/* 172.16.0.0/12: private */
	{ 0xc0000000, 24 },		/* 192.0.0.0/24: protocol assignments, metadata of some */
	{ 0xc0000200, 24 },		/* 192.0.2.0/24: documentation */
	{ 0xc0586300, 24 },		/* 192.88.99.0/24: 6to4 relays */
	{ 0xc0a80000, 16 },		/* 192.168.0.0/16: private */
	{ 0xc6120000, 15 },		/* 198.18.0.0/15: benchmarks */
	{ 0xc6336400, 24 },		/* 198.51.100.0/24: documentation */
	{ 0xcb007100, 24 },		/* 203.0.113.0/24: documentation */
	{ 0xe0000000, 4 },		/* 224.0.0.0/4: multicast */
	{ 0xf0000000, 4 },		/* 240.0.0.0/4: reserved, broadcast */
};

static bool is_inside4(uint32_t address)
{
	for (size_t i = 0; i < sizeof(inside4) / sizeof(inside4[0]); i++)
		if ((address ^ inside4[i].prefix) >> (32 - inside4[i].bits) == 0)
			return true;
	return false;
}

/* Of 2000::/3, in which all public addresses are; with their first four bytes at most. */
static const struct { uint32_t prefix; unsigned bits; } inside6[] = {
	{ 0x20010000, 23 },		/* 2001::/23: protocol assignments, Teredo, ORCHID */
	{ 0x20010db8, 32 },		/* 2001:db8::/32: documentation */
	{ 0x3fff0000, 20 },		/* 3fff::/20: documentation */
};

static uint32_t word(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static bool is_inside6(const unsigned char a[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const unsigned char sixtofour[2] = { 0x20, 0x02 };

	if (memcmp(a, mapped, sizeof(mapped)) == 0 || memcmp(a, nat64, sizeof(nat64)) == 0)
		return is_inside4(word(a + 12));
	if (memcmp(a, sixtofour, sizeof(sixtofour)) == 0)
		return is_inside4(word(a + 2));
	if (a[0] >> 5 != 1)
		return true;	/* ::1, fc00::/7, fe80::/10, ff00::/8 and what is assigned to nobody */
	for (size_t i = 0; i < sizeof(inside6) / sizeof(inside6[0]); i++)
		if ((word(a) ^ inside6[i].prefix) >> (32 - inside6[i].bits) == 0)
			return true;
	return false;
}

bool address_is_inside(const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->sa_family == AF_INET && len >= sizeof(v4)) {
		memcpy(&v4, address, sizeof(v4));
		return is_inside4(ntohl(v4.sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6 && len >= sizeof(v6)) {
		memcpy(&v6, address, sizeof(v6));
		return is_inside6(v6.sin6_addr.s6_addr);
	}
	return true;
}

void address_text(const struct sockaddr *address, socklen_t len, char text[ADDRESS_TEXT_SIZE])
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	snprintf(text, ADDRESS_TEXT_SIZE, "an address of family %d", (int)address->sa_family);
	if (address->sa_family == AF_INET && len >= sizeof(v4)) {
		memcpy(&v4, address, sizeof(v4));
		inet_ntop(AF_INET, &v4.sin_addr, text, ADDRESS_TEXT_SIZE);
	} else if (address->sa_family == AF_INET6 && len >= sizeof(v6)) {
		memcpy(&v6, address, sizeof(v6));
		inet_ntop(AF_INET6, &v6.sin6_addr, text, ADDRESS_TEXT_SIZE);
	}
}
