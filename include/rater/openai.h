/* The language-model rater, and the way to its provider that gradingctl doctor tries as well. */
#ifndef OPENAI_H
#define OPENAI_H

#include "config/config.h"
#include "lib/http.h"
#include "rater/rater.h"

extern const struct rater_ops rater_openai_ops;

/*
 * openai.base_url with path ("/models") behind it; with no API key in config, no header for it. The
 * caller frees it. NULL and err (ERR_CONFIG) when the URL is unusable. Nothing goes out yet.
 */
struct http *openai_connect(const struct config *config, const char *path, struct loop *loop,
			    struct err *err);

#endif
