/* The secrets of an endpoint, which whoever is sent them may quote. Pure. */
#ifndef SECRETS_H
#define SECRETS_H

#include <stddef.h>

#include "config/config.h"

/* What text quotes of them, as "our API key", or NULL. */
const char *secrets_quoted(const struct config *config, const char *text, size_t len);

#endif
