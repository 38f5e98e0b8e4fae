/* A tenant's share of the work, from its text. Any process; pure. */
#include "config/config_share.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* The colon before the weight: a name may have others. */
static const char *find_weight(const char *text)
{
	const char *colon = strrchr(text, ':');

	if (!colon || !colon[1] || colon[1 + strspn(colon + 1, "0123456789")])
		return NULL;
	return colon;
}

int config_share_weight(const char *text, size_t *name_len)
{
	const char *colon = find_weight(text);
	long weight = colon ? strtol(colon + 1, NULL, 10) : 1;

	*name_len = colon ? (size_t)(colon - text) : strlen(text);
	if (*name_len == 0 || *name_len > CONFIG_SHARE_NAME_CAP ||
	    !utf8_is_valid(text, *name_len))
		return 0;
	return weight >= 1 && weight <= CONFIG_WEIGHT_MAX ? (int)weight : 0;
}
