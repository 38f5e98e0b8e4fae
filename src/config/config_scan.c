/*
 * Finds two things in a configuration's text that cannot be seen in libconfig's tree any more:
 * numbers it cuts to 32 bits (4294967297 workers would be one), and @include. Any process; pure.
 */
#include "config_scan.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fault_at(struct config_scan_fault *fault, const char *text, const char *p)
{
	fault->line = 1;
	for (; text < p; text++)
		fault->line += *text == '\n';
	return -1;
}

/* Where a comment or a string that begins at p ends; p itself when there is neither. */
static const char *skip_opaque(const char *p)
{
	if (*p == '#' || strncmp(p, "//", 2) == 0)
		return p + strcspn(p, "\n");
	if (strncmp(p, "/*", 2) == 0) {
		const char *end = strstr(p + 2, "*/");

		return end ? end + 2 : p + strlen(p);
	}
	if (*p != '"')
		return p;
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

/* A key or a number that begins at p, up to the next blank or mark. */
static const char *skip_word(const char *p)
{
	const char *rest = isdigit((unsigned char)*p) ? "." : "-_*";

	while (isalnum((unsigned char)*p) || (*p && strchr(rest, *p)))
		p++;
	return p;
}

static int check_number(const char *p, struct config_scan_fault *fault)
{
	bool is_hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
	long long value;
	char *end;
	int len;

	errno = 0;
	value = strtoll(p, &end, is_hex ? 16 : 10);
	len = end - p < 40 ? (int)(end - p) : 40;
	if (errno == ERANGE)
		snprintf(fault->text, sizeof(fault->text), "the number %.*s is too large", len, p);
	else if (value > INT_MAX && !(*end && strchr("L.eE", *end)))
		snprintf(fault->text, sizeof(fault->text),
			 "the number %.*s needs an L behind it: %.*sL", len, p, len, p);
	else
		return 0;
	return -1;
}

int config_scan(const char *text, struct config_scan_fault *fault)
{
	for (const char *p = text, *next; *p; p = next) {
		next = skip_opaque(p);
		if (next > p)
			continue;
		if (*p == '@') {
			snprintf(fault->text, sizeof(fault->text),
				 "@include is not supported: the configuration is one file");
			return fault_at(fault, text, p);
		}
		if (isdigit((unsigned char)*p) && check_number(p, fault) == -1)
			return fault_at(fault, text, p);
		next = isalnum((unsigned char)*p) ? skip_word(p) : p + 1;
	}
	return 0;
}
