/*
 * The table of what providers' errors mean. Pure; workers only. Judged text may be quoted by an
 * error, so messages are known by how they begin, never by what is in the middle of them.
 */
#include "signs.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define STATUS(first, last) .from = first, .to = last
#define ANY STATUS(0, 999)
#define REFUSALS STATUS(400, 499)
#define NO_404 STATUS(400, 403)	/* which says enough by itself */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define QUOTA "the quota of this account is used up: raise its limit, or set another API key"
#define ACCOUNT "see to the account, or set another API key"
#define CREDENTIALS "it refused our credentials: check openai.api_key_env or openai.api_key_file"
#define ADDRESS "check openai.base_url"
#define MODEL "check openai.model"
#define FIELDS "check openai.model, openai.temperature, openai.response_format and openai.extra"
#define SMALLER "lower rater.lines_per_call or rater.context_lines"

/*
 * The first row that fits decides; the last fits all. Rows that tell what is wrong with the lines
 * stand before those about account, model and format, which are the same in every request: they are
 * for an operator, not the job's fault.
 */
static const struct sign signs[] = {
	/* ---- the lines ---- */
	{ ERR_PERMANENT, SMALLER, STATUS(413, 413) },	/* Groq names it rate_limit_exceeded */
	{ ERR_PERMANENT, SMALLER, ANY, .name = "context_length_exceeded" },
	{ ERR_PERMANENT, SMALLER, ANY, .name = "exceed_context_size_error" },	/* llama.cpp */
	{ ERR_PERMANENT, SMALLER, ANY, .name = "string_above_max_length" },
	{ ERR_PERMANENT, SMALLER, ANY, .name = "ContextWindowExceededError" },	/* LiteLLM */
	{ ERR_PERMANENT, SMALLER, REFUSALS, .words = "this model's maximum context length is " },
	{ ERR_PERMANENT, SMALLER, REFUSALS, .words = "prompt is too long" },	/* Anthropic */
	{ ERR_PERMANENT, SMALLER, REFUSALS, .words = "prompt contains * tokens" },
	{ ERR_PERMANENT, SMALLER, REFUSALS, .words = "the input token count " },	/* Google */
	{ ERR_PERMANENT, SMALLER, REFUSALS, .words = "the request exceeds the available context" },
	{ ERR_PERMANENT, SMALLER, REFUSALS, .words = "please reduce the length of the messages" },
	{ ERR_NONE, NULL, ANY, .name = "content_policy_violation" },
	{ ERR_NONE, NULL, ANY, .name = "content_filter" },		/* Azure, Moonshot */
	{ ERR_NONE, NULL, ANY, .name = "ResponsibleAIPolicyViolation" },	/* Azure */
	{ ERR_NONE, NULL, ANY, .name = "invalid_prompt" },
	{ ERR_NONE, NULL, ANY, .name = COMPLAINT_FLAGGED },		/* OpenRouter */
	{ ERR_NONE, NULL, ANY, .name = "ContentPolicyViolationError" },	/* LiteLLM */
	{ ERR_NONE, NULL, ANY, .name = "data_inspection_failed" },	/* Alibaba */
	{ ERR_NONE, NULL, ANY, .name = "DataInspectionFailed" },
	{ ERR_NONE, NULL, REFUSALS, .words = "output blocked by content filtering" },
	{ ERR_NONE, NULL, REFUSALS, .words = "content exists risk" },	/* DeepSeek */
	{ ERR_RETRY, NULL, ANY, .name = "json_validate_failed" },	/* Groq, of the model */

	/* ---- the account ---- */
	{ ERR_DENIED, QUOTA, ANY, .name = "insufficient_quota" },
	{ ERR_DENIED, QUOTA, ANY, .name = "credit_balance_exhausted" },
	{ ERR_DENIED, QUOTA, ANY, .name = "billing_hard_limit_reached" },
	{ ERR_DENIED, QUOTA, ANY, .name = "billing_not_active" },
	{ ERR_DENIED, QUOTA, ANY, .name = "billing_error" },		/* Anthropic */
	{ ERR_DENIED, QUOTA, ANY, .name = "insufficient_balance" },
	{ ERR_DENIED, QUOTA, ANY, .name = "insufficient_user_quota" },	/* One API */
	{ ERR_DENIED, QUOTA, ANY, .name = "exceeded_current_quota_error" },	/* Moonshot */
	{ ERR_DENIED, QUOTA, ANY, .name = "Arrearage" },		/* Alibaba */
	{ ERR_DENIED, QUOTA, ANY, .name = "budget_exceeded" },		/* LiteLLM */
	{ ERR_DENIED, QUOTA, REFUSALS, .words = "your credit balance is too low" },
	{ ERR_DENIED, QUOTA, REFUSALS, .words = "you have reached your specified api usage" },
	{ ERR_DENIED, QUOTA, REFUSALS, .words = "insufficient balance" },
	{ ERR_DENIED, QUOTA, REFUSALS, .words = "insufficient credit" },
	{ ERR_DENIED, QUOTA, REFUSALS, .words = "your account is not active" },
	{ ERR_DENIED, ACCOUNT, REFUSALS, .words = "this organization has been disabled" },
	{ ERR_DENIED, ACCOUNT, REFUSALS, .name = "FAILED_PRECONDITION" },	/* Google */
	{ ERR_DENIED, CREDENTIALS, ANY, .name = "invalid_api_key" },
	{ ERR_DENIED, CREDENTIALS, ANY, .name = "API_KEY_INVALID" },	/* Google */
	{ ERR_DENIED, CREDENTIALS, ANY, .name = "authentication_error" },	/* Anthropic */
	{ ERR_DENIED, CREDENTIALS, ANY, .name = "AuthenticationError" },	/* LiteLLM */
	{ ERR_DENIED, CREDENTIALS, ANY, .name = "invalid_authentication_error" },
	{ ERR_DENIED, CREDENTIALS, REFUSALS, .words = "api key not valid" },
	{ ERR_DENIED, CREDENTIALS, REFUSALS, .words = "api key expired" },
	{ ERR_DENIED, CREDENTIALS, REFUSALS, .words = "incorrect api key" },
	{ ERR_DENIED, CREDENTIALS, REFUSALS, .words = "invalid api key" },
	{ ERR_DENIED, CREDENTIALS, REFUSALS, .words = "invalid x-api-key" },

	/* ---- the model ---- */
	{ ERR_DENIED, MODEL, ANY, .name = "model_not_found" },
	{ ERR_DENIED, MODEL, ANY, .name = "model_decommissioned" },	/* Groq */
	{ ERR_DENIED, MODEL, ANY, .name = "model_terms_required" },	/* Groq */
	{ ERR_DENIED, MODEL, ANY, .name = "invalid_model" },		/* Mistral, Perplexity */
	{ ERR_DENIED, MODEL, ANY, .name = "model_not_supported" },	/* Hugging Face */
	{ ERR_DENIED, MODEL, ANY, .name = "model_not_available" },	/* Together */
	{ ERR_DENIED, MODEL, ANY, .name = "unknown_model" },		/* GitHub */
	{ ERR_DENIED, MODEL, ANY, .name = "unsupported_model" },
	{ ERR_DENIED, MODEL, ANY, .name = "DeploymentNotFound" },	/* Azure */
	{ ERR_DENIED, MODEL, ANY, .name = "OperationNotSupported" },	/* Azure */
	{ ERR_DENIED, MODEL, REFUSALS, .name = "model" },
	{ ERR_DENIED, MODEL, NO_404, .words = "invalid model" },
	{ ERR_DENIED, MODEL, NO_404, .words = "model not " },		/* DeepSeek, Fireworks */
	{ ERR_DENIED, MODEL, NO_404, .words = "model * not found" },	/* Ollama */
	{ ERR_DENIED, MODEL, NO_404, .words = "model * does not exist" },
	{ ERR_DENIED, MODEL, NO_404, .words = "the model * has been " },	/* Groq, OpenAI */
	{ ERR_DENIED, MODEL, NO_404, .words = "the model * does not exist" },
	{ ERR_DENIED, MODEL, NO_404, .words = "the model * is not " },
	{ ERR_DENIED, MODEL, NO_404, .words = "the requested model " },
	{ ERR_DENIED, MODEL, NO_404, .words = "unable to access model " },	/* Together */
	{ ERR_DENIED, MODEL, NO_404, .words = "* is not a valid model id" },	/* OpenRouter */

	/* ---- the form of the request ---- */
	{ ERR_DENIED, "set openai.temperature to \"none\"", REFUSALS, .name = "temperature" },
	{ ERR_DENIED, "check openai.response_format", REFUSALS, .name = "response_format" },
	{ ERR_DENIED, FIELDS, REFUSALS, .name = "unsupported_parameter" },
	{ ERR_DENIED, FIELDS, REFUSALS, .name = "unsupported_value" },
	{ ERR_DENIED, FIELDS, REFUSALS, .name = "unknown_parameter" },
	{ ERR_DENIED, FIELDS, REFUSALS, .name = "extra_forbidden" },	/* FastAPI */
	{ ERR_DENIED, FIELDS, REFUSALS, .name = "UnsupportedParamsError" },	/* LiteLLM */

	/* ---- limits and outages by name ---- */
	{ ERR_LIMITED, NULL, ANY, .name = "rate_limit_exceeded" },
	{ ERR_LIMITED, NULL, ANY, .name = "in_flight_budget_exhausted" },	/* OpenRouter */
	{ ERR_LIMITED, NULL, ANY, .name = "openrouter_in_flight_budget" },
	{ ERR_LIMITED, NULL, ANY, .name = "rate_limit_error" },		/* Anthropic */
	{ ERR_LIMITED, NULL, ANY, .name = "capacity_exceeded" },	/* Groq */
	{ ERR_LIMITED, NULL, ANY, .name = "flex_tier_capacity_exceeded" },
	{ ERR_UNAVAILABLE, NULL, ANY, .name = "overloaded_error" },	/* Anthropic */

	/* ---- by status alone ---- */
	{ ERR_DENIED, "redirects are not followed; " ADDRESS, STATUS(300, 399), .filters = true },
	{ ERR_DENIED, CREDENTIALS, STATUS(401, 401) },
	{ ERR_DENIED, QUOTA, STATUS(402, 402) },
	{ ERR_DENIED, CREDENTIALS, STATUS(403, 403), .filters = true },
	{ ERR_DENIED, "check openai.base_url and openai.model", STATUS(404, 404), .filters = true },
	{ ERR_DENIED, ADDRESS, STATUS(405, 405), .filters = true },
	{ ERR_DENIED, "check openai.proxy", STATUS(407, 407) },
	{ ERR_UNCLEAR, NULL, STATUS(408, 409) },
	{ ERR_UNAVAILABLE, NULL, STATUS(424, 424) },	/* Hugging Face: the model is not ready */
	{ ERR_UNCLEAR, NULL, STATUS(425, 425) },
	{ ERR_LIMITED, NULL, STATUS(429, 429) },
	{ ERR_LIMITED, NULL, STATUS(498, 498) },	/* Groq: no capacity in this tier */
	{ ERR_UNCLEAR, NULL, STATUS(499, 499) },	/* a gateway thinks that we went away */
	{ ERR_PERMANENT, NULL, REFUSALS, .unplaced = true },
	{ ERR_UNCLEAR, NULL, STATUS(500, 500) },
	{ ERR_UNAVAILABLE, NULL, STATUS(501, 599) },	/* 529: Anthropic is overloaded */
	{ ERR_UNCLEAR, NULL, ANY },
};

/* Whether text begins with these words, whatever their case; "*" is one word of any kind. */
static bool begins_with(const char *text, const char *words)
{
	for (; *words; words++, text++) {
		if (*words == '*') {
			size_t n = strcspn(text, " \t\r\n");

			if (n == 0)
				return false;
			text += n - 1;
		} else if (tolower((unsigned char)*text) != tolower((unsigned char)*words)) {
			return false;
		}
	}
	return true;
}

static bool has_name(const struct complaint *c, const char *name)
{
	for (size_t i = 0; i < c->nnames; i++)
		if (strcasecmp(c->names[i], name) == 0)
			return true;
	return false;
}

static bool says(const struct complaint *c, const char *words)
{
	for (size_t i = 0; i < c->nmessages; i++)
		if (begins_with(c->messages[i], words))
			return true;
	return false;
}

static bool fits(const struct sign *sign, const struct complaint *c)
{
	return c->status >= sign->from && c->status <= sign->to &&
	       (!sign->name || has_name(c, sign->name)) && (!sign->words || says(c, sign->words));
}

const struct sign *sign_of(const struct complaint *c)
{
	const struct sign *sign = signs;

	while (sign < &signs[COUNT(signs) - 1] && !fits(sign, c))
		sign++;
	return sign;
}

bool sign_is_about_lines(const struct sign *sign)
{
	return sign->kind == ERR_NONE || (sign->kind == ERR_PERMANENT && !sign->unplaced);
}

/* ---- fields ---- */

/*
 * What makes of a message that names a field a refusal of it: "Unsupported value: 'temperature'
 * does not support 0", "`temperature` is deprecated for this model", "seed: Extra inputs are not
 * permitted", "Unknown name \"seed\": Cannot find field", "invalid temperature: only 1 is
 * allowed", "response_format value as json_schema is enabled only for api versions ...".
 */
static const char *const refusing[] = {
	"support", "deprecated", "not permitted", "not allowed", "is allowed", "unknown",
	"unrecognized", "unexpected", "cannot find field", "unavailable", "not available",
	"invalid", "is enabled only", "must be one of", "cannot both be specified",
};

#define HEAD_BYTES 160		/* further on a message may quote the lines */

static bool is_of_a_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* What people call response_format. */
static const char *const format_names[] = {
	"response format", "json_schema", "json schema", "json_object", "json mode",
	"structured output", "structured_output",
};

static bool names_format(const char *message)
{
	for (size_t i = 0; i < COUNT(format_names); i++) {
		const char *at = strcasestr(message, format_names[i]);

		if (at && at - message < HEAD_BYTES)
			return true;
	}
	return false;
}

/* Whether the message names it as a word of its own, near its beginning. */
static bool names_field(const char *message, const char *field)
{
	size_t n = strlen(field);

	for (const char *at = message; (at = strstr(at, field)) && at - message < HEAD_BYTES; at++)
		if ((at == message || !is_of_a_name(at[-1])) && !is_of_a_name(at[n]))
			return true;
	return strcmp(field, "response_format") == 0 && names_format(message);
}

static bool refuses(const char *message)
{
	char head[2 * HEAD_BYTES + 1];

	strncpy(head, message, sizeof(head) - 1);
	head[sizeof(head) - 1] = '\0';
	for (size_t i = 0; i < COUNT(refusing); i++)
		if (strcasestr(head, refusing[i]))
			return true;
	return false;
}

/* "temperature", "response_format.type", "extra_body[0]" */
static bool is_field(const char *param, const char *field)
{
	size_t n = strlen(field);

	return strncmp(param, field, n) == 0 && !is_of_a_name(param[n]);
}

static bool is_refused(const struct complaint *c, const char *field)
{
	for (size_t i = 0; i < c->nparams; i++)
		if (is_field(c->params[i], field))
			return true;
	for (size_t i = 0; i < c->nmessages; i++)
		if (names_field(c->messages[i], field) && refuses(c->messages[i]))
			return true;
	return false;
}

size_t sign_refused_field(const struct complaint *c, const char *const *fields, size_t n)
{
	size_t i = 0;

	if ((c->status != 400 && c->status != 422) || sign_is_about_lines(sign_of(c)))
		return n;
	while (i < n && !is_refused(c, fields[i]))
		i++;
	return i;
}
