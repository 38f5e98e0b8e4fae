/* A tenant's share as tenants.shares has it: "acme:3", or "acme" for a weight of 1. Pure. */
#ifndef CONFIG_SHARE_H
#define CONFIG_SHARE_H

#include <stddef.h>

#define CONFIG_SHARES_MAX 8
#define CONFIG_SHARE_NAME_CAP 200	/* bytes of a tenant's name */
#define CONFIG_WEIGHT_MAX 1000

/* Its weight, and in *name_len how much of the text is the name; 0 when it is no share. */
int config_share_weight(const char *text, size_t *name_len);

#endif
