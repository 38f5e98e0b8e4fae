/*
 * What an OpenAI-compatible provider answered: its errors sorted into ours, and the envelope around
 * the model's reply opened. Pure; fuzzed. Grades are made by verdict.c alone.
 */
#ifndef OPENAI_REPLY_H
#define OPENAI_REPLY_H

#include "config/config.h"
#include "lib/http.h"
#include "rater/rater.h"

#define OPENAI_AFTER_CAP_MS (2 * 60 * 1000)	/* we wait no longer than this for a Retry-After */
#define OPENAI_MODEL_CAP_BYTES 127		/* of the name that it gives its model */

/*
 * Fills ask's answer from how its call ended: either err, or every verdict. err is ERR_UNAVAILABLE
 * (provider away), ERR_LIMITED (rate), ERR_DENIED (credentials, quota, configuration),
 * ERR_PERMANENT (the question), ERR_UNCLEAR (any of them) or ERR_RETRY. Content refused with an
 * error is an outcome like any refusal. Never quotes config->openai.api_key.
 */
void openai_read_reply(const struct http_reply *reply, const struct config *config,
		       struct ask *ask);

/*
 * Which of n fields of the request the provider refuses by name, and its words into words (size
 * bytes); n when it does not.
 */
size_t openai_refused_field(const struct http_reply *reply, const struct config *config,
			    const char *const *fields, size_t n, char *words, size_t size);

#endif
