/* The provider's address with the key's header, for openai.c and gradingctl doctor. */
#ifndef OPENAI_CONNECT_H
#define OPENAI_CONNECT_H

#include "config/config.h"
#include "lib/http.h"

/*
 * openai.base_url with path ("/models") behind it; with no API key in config, no header for it. The caller
 * frees it. NULL and err (ERR_CONFIG) when the URL is unusable. Nothing goes out yet.
 */
struct http *openai_connect(const struct config *config, const char *path, struct loop *loop, struct err *err);

#endif
