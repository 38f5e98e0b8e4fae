/* openai_reply.c: a provider's errors sorted into ours, and what an envelope gives each line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rater/openai_reply.h"

#define N 3
#define KEY "sk-do-not-show-me"

static char *scale[] = { "excellent", "good", "poor", "missed_opportunity" };
static char key[] = KEY;
static struct config config = {
	.rater = { .scale = { scale, 4 }, .alternatives = 3 },
	.openai = { .api_key = key },
};
static const struct line lines[N] = { { .index = 4 }, { .index = 5 }, { .index = 6 } };
static const struct line *asked[N] = { &lines[0], &lines[1], &lines[2] };
static struct verdict verdicts[N];
static struct job job;
static struct ask ask;

static void read_reply(const struct http_reply *reply)
{
	ask = (struct ask){ .job = &job, .lines = asked, .nlines = N, .verdicts = verdicts };
	verdict_all(verdicts, N, OUTCOME_PENDING);
	openai_read_reply(reply, &config, &ask);
	assert_int_equal(ask.used.calls, 1);
	assert_int_equal(ask.used.latency_ms, reply->latency_ms);
}

static void read_answer(int status, const char *body)
{
	read_reply(&(struct http_reply){ .end = HTTP_ANSWERED, .status = status, .body = body,
					 .len = strlen(body), .latency_ms = 7, .detail = "" });
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&job.arena);
	return 0;
}

/* ---- errors ---- */

static void check_error(enum err_kind kind, const char *text)
{
	assert_non_null(ask.err);
	assert_string_equal(ask.err->text, text);
	assert_int_equal(ask.err->kind, kind);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(verdicts[i].outcome, OUTCOME_PENDING);
}

static void test_errors_by_status_and_code(void **state)
{
#define CREDENTIALS "it refused our credentials: check openai.api_key_env or openai.api_key_file"
#define SMALLER "lower rater.lines_per_call or rater.context_lines"
#define QUOTA "the quota of this account is used up: raise its limit, or set another API key"
	static const struct {
		int status;
		const char *body;
		enum err_kind kind;
		const char *text;
	} cases[] = {
		{ 401, "{\"error\":{\"message\":\"Incorrect API key provided: sk-d***w-me\"}}",
		  ERR_DENIED, "the provider answered 401 Unauthorized; " CREDENTIALS },
		{ 403, "{\"error\":{\"message\":\"Country not supported.\"}}", ERR_DENIED,
		  "the provider answered 403 Forbidden: Country not supported; " CREDENTIALS },
		{ 400, "{\"error\":{\"code\":\"invalid_api_key\",\"message\":\"\"}}", ERR_DENIED,
		  "the provider answered 400 Bad Request; " CREDENTIALS },
		{ 429, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"No credit. \"}}",
		  ERR_DENIED, "the provider answered 429 Too Many Requests: No credit; " QUOTA },
		{ 402, "", ERR_DENIED, "the provider answered 402 Payment Required; " QUOTA },
		{ 429, "{\"error\":{\"message\":\"rate limit reached for gpt-4o-mini\"}}",
		  ERR_LIMITED,
		  "the provider answered 429 Too Many Requests: rate limit reached for "
		  "gpt-4o-mini" },
		{ 404, "{\"error\":\"model \\\"x\\\" not found\"}", ERR_DENIED,
		  "the provider answered 404 Not Found: model \"x\" not found; "
		  "check openai.base_url and openai.model" },
		{ 400, "{\"error\":{\"type\":\"model_not_found\"}}", ERR_DENIED,
		  "the provider answered 400 Bad Request; check openai.model" },
		{ 400,
		  "{\"error\":{\"code\":\"unsupported_value\",\"param\":\"temperature\","
		  "\"message\":\"0?\"}}",
		  ERR_DENIED,
		  "the provider answered 400 Bad Request: 0?; set openai.temperature to \"none\"" },
		{ 400, "{\"error\":{\"param\":\"response_format\"}}", ERR_DENIED,
		  "the provider answered 400 Bad Request; check openai.response_format" },
		{ 308, "<html>", ERR_DENIED,
		  "the provider answered 308 Permanent Redirect; "
		  "redirects are not followed; check openai.base_url" },
		{ 500, "[{\"error\":{\"message\":\"oops\"}}]", ERR_UNCLEAR,
		  "the provider answered 500 Internal Server Error: oops" },
		{ 503, "{\"object\":\"error\",\"message\":\"busy\",\"code\":503}", ERR_UNAVAILABLE,
		  "the provider answered 503 Service Unavailable: busy" },
		{ 529, "null", ERR_UNAVAILABLE, "the provider answered 529" },
		{ 400, "{\"error\":{\"message\":\"bad\"}}", ERR_PERMANENT,
		  "the provider answered 400 Bad Request: bad" },
		{ 429, "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"long\"}}",
		  ERR_PERMANENT, "the provider answered 429 Too Many Requests: long; " SMALLER },
		{ 413, "{}", ERR_PERMANENT,
		  "the provider answered 413 Content Too Large; " SMALLER },
		{ 413, "{\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"tokens\"}}",
		  ERR_PERMANENT, "the provider answered 413 Content Too Large; " SMALLER },
		{ 400, "{\"error\":{\"code\":\"json_validate_failed\",\"message\":\"no JSON\"}}",
		  ERR_RETRY, "the provider answered 400 Bad Request: no JSON" },
		{ 418, "{}", ERR_PERMANENT, "the provider answered 418" },
		{ 499, "{}", ERR_UNCLEAR, "the provider answered 499" },
		{ 408, "{}", ERR_UNCLEAR, "the provider answered 408 Request Timeout" },
		{ 409, "{}", ERR_UNCLEAR, "the provider answered 409 Conflict" },
		{ 425, "{}", ERR_UNCLEAR, "the provider answered 425 Too Early" },
		{ 200, "{\"error\":{\"message\":\"odd\"}}", ERR_UNCLEAR,
		  "the provider answered 200 OK: odd" },
		{ 200, "{\"error\":{\"code\":429,\"message\":\"slow down\"}}", ERR_LIMITED,
		  "the provider answered 429 Too Many Requests: slow down" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_answer(cases[i].status, cases[i].body);
		check_error(cases[i].kind, cases[i].text);
		assert_int_equal(ask.err->after_ms, 0);
	}
}

/*
 * What providers document, and really say. OpenAI: platform.openai.com/docs/guides/error-codes.
 * Azure: learn.microsoft.com/azure/ai-services/openai (quotas, content-filter). Anthropic:
 * docs.anthropic.com/en/api/errors. Google: ai.google.dev/gemini-api/docs/troubleshooting. Mistral:
 * docs.mistral.ai/api, mistralai/mistral-vibe#617. Groq: console.groq.com/docs/errors,
 * /docs/flex-processing, /docs/deprecations. OpenRouter: openrouter.ai/docs/api/reference/errors.
 * LiteLLM: docs.litellm.ai/docs/exception_mapping, BerriAI/litellm#8192, #26444. DeepSeek:
 * api-docs.deepseek.com/quick_start/error_codes. vLLM, llama.cpp, Ollama,
 * text-generation-inference: their sources.
 */
static const struct {
	int status;
	const char *body;
	enum err_kind kind;	/* ERR_NONE: the lines are refused */
	bool unplaced, about_lines;
	const char *has;	/* in the sentence for the operator */
} said[] = {
	/* ---- the account ---- */
	{ 400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
	  "\"Your credit balance is too low to access the Anthropic API. Please go to Plans & "
	  "Billing to upgrade or purchase credits.\"}}",
	  ERR_DENIED, false, false, "Your credit balance is too low" },
	{ 400, "{\"type\":\"invalid_request_error\",\"message\":\"You have reached your specified "
	  "API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.\"}",
	  ERR_DENIED, false, false, "regain access" },
	{ 402, "{\"type\":\"error\",\"error\":{\"type\":\"billing_error\",\"message\":\"x\"}}",
	  ERR_DENIED, false, false, "402 Payment Required: x; the quota" },
	{ 402, "{\"error\":{\"message\":\"Insufficient Balance\",\"type\":\"unknown_error\"}}",
	  ERR_DENIED, false, false, "Insufficient Balance" },	/* DeepSeek */
	{ 429, "{\"error\":{\"type\":\"insufficient_quota\",\"code\":\"credit_balance_exhausted\","
	  "\"message\":\"x\"}}", ERR_DENIED, false, false, "quota" },
	{ 403, "{\"error\":{\"type\":\"exceeded_current_quota_error\",\"message\":\"x\"}}",
	  ERR_DENIED, false, false, "quota" },			/* Moonshot */
	{ 400, "{\"code\":\"Arrearage\",\"message\":\"Access denied\"}", ERR_DENIED, false, false,
	  "quota" },						/* Alibaba */
	{ 400, "[{\"error\":{\"code\":400,\"message\":\"User location is not supported for the API "
	  "use.\",\"status\":\"FAILED_PRECONDITION\"}}]", ERR_DENIED, false, false,
	  "see to the account" },
	{ 402, "{\"error\":{\"code\":402,\"message\":\"x\",\"metadata\":{\"limit_source\":"
	  "\"openrouter_in_flight_budget\"}}}", ERR_LIMITED, false, false, "402" },
	/* ---- the key ---- */
	{ 400, "[{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":"
	  "\"INVALID_ARGUMENT\",\"details\":[{\"reason\":\"API_KEY_INVALID\"}]}}]",
	  ERR_DENIED, false, false, "API key not valid; it refused our credentials" },
	{ 400, "{\"error\":{\"message\":\"{\\n \\\"error\\\": {\\\"code\\\": 400, \\\"message\\\": "
	  "\\\"API key expired. Please renew the API key.\\\", \\\"details\\\": [{\\\"@type\\\":"
	  "\\\"x\\\"}, {\\\"reason\\\": \\\"API_KEY_INVALID\\\"}]}}\",\"code\":400,\"status\":"
	  "\"Bad Request\"}}", ERR_DENIED, false, false, "400 Bad Request: API key expired" },
	{ 400, "{\"error\":{\"message\":\"litellm.BadRequestError: AnthropicException - "
	  "{\\\"type\\\":\\\"error\\\",\\\"error\\\":{\\\"type\\\":\\\"authentication_error\\\","
	  "\\\"message\\\":\\\"invalid x-api-key\\\"}}. Received Model Group=m1\",\"code\":\"400\"}}",
	  ERR_DENIED, false, false, "invalid x-api-key; it refused our credentials" },
	/* ---- the model ---- */
	{ 400, "{\"error\":{\"message\":\"The model `m1` has been decommissioned and is no longer "
	  "supported.\",\"type\":\"invalid_request_error\",\"code\":\"model_decommissioned\"}}",
	  ERR_DENIED, false, false, "; check openai.model" },
	{ 400, "{\"error\":{\"message\":\"The model `m1` has been decommissioned.\"}}",
	  ERR_DENIED, false, false, "; check openai.model" },
	{ 400, "{\"object\":\"error\",\"message\":\"Invalid model: m1\",\"type\":\"invalid_model\","
	  "\"param\":null,\"code\":\"1500\"}", ERR_DENIED, false, false, "Invalid model: m1" },
	{ 400, "{\"error\":{\"message\":\"m1 is not a valid model ID\",\"code\":400}}",
	  ERR_DENIED, false, false, "not a valid model ID; check openai.model" },
	{ 400, "{\"error\":{\"message\":\"Model Not Exist\",\"type\":\"invalid_request_error\"}}",
	  ERR_DENIED, false, false, "; check openai.model" },	/* DeepSeek */
	{ 400, "{\"error\":{\"message\":\"The requested model 'm1' is not supported by any provider "
	  "you have enabled.\",\"code\":\"model_not_supported\"}}", ERR_DENIED, false, false,
	  "; check openai.model" },				/* Hugging Face */
	{ 400, "{\"error\":{\"message\":\"litellm.BadRequestError: Invalid model name passed in "
	  "model=m1. Call `/v1/models` to view available models.\"}}", ERR_DENIED, false, false,
	  "; check openai.model" },
	{ 404, "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment for "
	  "this resource does not exist.\"}}", ERR_DENIED, false, false, "; check openai.model" },
	{ 400, "{\"error\":{\"code\":\"OperationNotSupported\",\"message\":\"x\"}}",
	  ERR_DENIED, false, false, "; check openai.model" },	/* Azure */
	/* ---- the form of the request ---- */
	{ 400, "{\"error\":{\"message\":\"UnsupportedParamsError: m1 does not support temperature=0\","
	  "\"param\":\"None\",\"code\":\"400\"}}", ERR_DENIED, false, false,
	  "UnsupportedParamsError: m1 does not support temperature=0; check openai.model" },
	{ 400, "{\"error\":{\"message\":\"Unsupported value: 'temperature' does not support 0\","
	  "\"param\":\"temperature\",\"code\":\"unsupported_value\"}}", ERR_DENIED, false, false,
	  "; set openai.temperature to \"none\"" },
	{ 422, "{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"seed\"],\"msg\":"
	  "\"Extra inputs are not permitted\",\"input\":7}]}", ERR_DENIED, false, false,
	  "Extra inputs are not permitted" },			/* Mistral */
	/* ---- limits and outages ---- */
	{ 498, "{\"error\":{\"code\":\"flex_tier_capacity_exceeded\"}}", ERR_LIMITED, false, false,
	  "498" },
	{ 498, "", ERR_LIMITED, false, false, "498" },
	{ 429, "{\"error\":{\"code\":\"capacity_exceeded\",\"message\":\"x\"}}", ERR_LIMITED,
	  false, false, "429" },
	{ 429, "[{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota. Please "
	  "retry in 23s.\",\"status\":\"RESOURCE_EXHAUSTED\"}}]", ERR_LIMITED, false, false, "429" },
	{ 424, "{\"error\":\"Model is not ready\"}", ERR_UNAVAILABLE, false, false,
	  "424 Failed Dependency: Model is not ready" },
	{ 529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
	  "\"Overloaded\"}}", ERR_UNAVAILABLE, false, false, "529: Overloaded" },
	{ 400, "{\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
	  ERR_UNAVAILABLE, false, false, "Overloaded" },
	{ 503, "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":"
	  "\"unavailable_error\"}}", ERR_UNAVAILABLE, false, false, "Loading model" },
	{ 200, "{\"choices\":[{\"finish_reason\":\"error\",\"message\":{\"content\":\"\"},\"error\":"
	  "{\"code\":502,\"message\":\"Provider disconnected\"}}]}", ERR_UNAVAILABLE, false, false,
	  "502 Bad Gateway: Provider disconnected" },
	{ 200, "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":\"{}\"},\"error\":"
	  "{\"code\":429,\"message\":\"slow down\"}}]}", ERR_LIMITED, false, false, "429" },
	{ 200, "{\"choices\":[{\"finish_reason\":\"error\",\"message\":{\"content\":\"\"}}]}",
	  ERR_UNAVAILABLE, false, false, "broke its answer off; finish_reason: error" },
	{ 200, "{\"choices\":[{\"finish_reason\":\"insufficient_system_resource\",\"message\":"
	  "{\"content\":null}}]}", ERR_UNAVAILABLE, false, false, "insufficient_system_resource" },
	{ 200, "{\"choices\":[{\"error\":\"upstream died\"}]}", ERR_UNAVAILABLE, false, false,
	  "broke its answer off: upstream died" },
	/* ---- an error within an error ---- */
	{ 400, "{\"error\":{\"message\":\"Provider returned error\",\"code\":400,\"metadata\":{"
	  "\"raw\":\"{\\\"error\\\":{\\\"type\\\":\\\"invalid_request_error\\\",\\\"message\\\":"
	  "\\\"Your credit balance is too low.\\\"}}\",\"provider_name\":\"Anthropic\"}}}",
	  ERR_DENIED, false, false, "400 Bad Request: Your credit balance is too low; the quota" },
	/* ---- the lines ---- */
	{ 400, "{\"object\":\"error\",\"message\":\"This model's maximum context length is 4096 "
	  "tokens. However, you requested 9000.\",\"type\":\"BadRequestError\",\"code\":400}",
	  ERR_PERMANENT, false, true, SMALLER },		/* vLLM */
	{ 400, "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: "
	  "210000 tokens > 200000 maximum\"}}", ERR_PERMANENT, false, true, SMALLER },
	{ 400, "{\"message\":\"Prompt contains 40000 tokens and 0 draft tokens, too large for model "
	  "with 32768 maximum context length\",\"code\":\"3051\"}", ERR_PERMANENT, false, true,
	  SMALLER },						/* Mistral */
	{ 400, "{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context "
	  "size\",\"type\":\"exceed_context_size_error\"}}", ERR_PERMANENT, false, true, SMALLER },
	{ 400, "{\"error\":{\"code\":\"content_filter\",\"message\":\"x\",\"innererror\":{\"code\":"
	  "\"ResponsibleAIPolicyViolation\"}}}", ERR_NONE, false, false, NULL },
	{ 400, "{\"error\":{\"message\":\"Output blocked by content filtering policy\"}}",
	  ERR_NONE, false, false, NULL },			/* Anthropic */
	{ 400, "{\"error\":{\"message\":\"Content Exists Risk\"}}", ERR_NONE, false, false, NULL },
	{ 400, "{\"error\":{\"message\":\"litellm.ContentPolicyViolationError: AzureException - "
	  "The response was filtered\",\"code\":\"400\"}}", ERR_NONE, false, false, NULL },
	{ 400, "{\"error\":{\"message\":\"litellm.ContextWindowExceededError: it is long\"}}",
	  ERR_PERMANENT, false, true, SMALLER },
	{ 400, "{\"error\":{\"message\":\"Budget has been exceeded! Current cost: 10.0, Max budget: "
	  "10.0\",\"type\":\"budget_exceeded\",\"param\":null,\"code\":\"400\"}}",
	  ERR_DENIED, false, false, "Budget has been exceeded" },	/* LiteLLM */
	/* ---- in a 200 ---- */
	{ 200, "{\"base_resp\":{\"status_code\":1008,\"status_msg\":\"insufficient balance\"},"
	  "\"choices\":null}", ERR_UNCLEAR, false, false,
	  "answered 200 OK: insufficient balance" },	/* MiniMax */
	{ 200, "{\"error_code\":17,\"error_msg\":\"Open api daily request limit reached\"}",
	  ERR_UNCLEAR, false, false, "daily request limit reached" },	/* Baidu */
	{ 200, "{\"code\":500,\"msg\":\"404 NOT_FOUND\",\"success\":false}",
	  ERR_UNCLEAR, false, false, "404 NOT_FOUND" },		/* Zhipu */
	{ 200, "{\"object\":\"error\",\"message\":\"The model is overloaded\",\"code\":50001}",
	  ERR_UNCLEAR, false, false, "The model is overloaded" },
	{ 200, "{\"detail\":\"Unauthorized\"}", ERR_UNCLEAR, false, false, "Unauthorized" },
	{ 200, "{}", ERR_UNCLEAR, false, false, "answered 200 OK, but no completion" },
	/* ---- nobody can tell ---- */
	{ 400, "{\"error\":{\"message\":\"This Model is Cold\"}}", ERR_PERMANENT, true, false,
	  "This Model is Cold" },				/* Featherless */
	{ 422, "{\"detail\":\"nope\"}", ERR_PERMANENT, true, false, "nope" },
	{ 418, "", ERR_PERMANENT, true, false, "418" },
	/* Words that are quoted, of a line that was asked about, are no sign. */
	{ 400, "{\"error\":{\"message\":\"Cannot parse 'Your credit balance is too low.'\"}}",
	  ERR_PERMANENT, true, false, "Cannot parse" },
	{ 400, "{\"error\":{\"message\":\"Bad input: {\\\"error\\\":{\\\"type\\\":"
	  "\\\"authentication_error\\\"}}\"}}", ERR_PERMANENT, true, false, "Bad input" },
	{ 400, "{\"error\":{\"message\":\"'the model m1 has been retired' is not a valid model ID\"}}",
	  ERR_PERMANENT, true, false, "retired" },
};

static void test_what_providers_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		read_answer(said[i].status, said[i].body);
		if (said[i].kind == ERR_NONE) {
			assert_null(ask.err);
			assert_int_equal(verdicts[0].outcome, OUTCOME_REFUSED);
			continue;
		}
		if (err_kind(ask.err) != said[i].kind || !strstr(ask.err->text, said[i].has))
			fail_msg("%s: %d, %s", said[i].body, err_kind(ask.err),
				 ask.err ? ask.err->text : "no error");
		assert_int_equal(ask.unplaced, said[i].unplaced);
		assert_int_equal(ask.about_lines, said[i].about_lines);
		for (size_t n = 0; n < N; n++)
			assert_int_equal(verdicts[n].outcome, OUTCOME_PENDING);
	}
}

/* ---- fields that are refused by name ---- */

static const char *refused_field(int status, const char *body)
{
	static const char *const fields[] = { "response_format", "temperature", "seed", "top_p" };
	struct http_reply reply = { .end = HTTP_ANSWERED, .status = status, .body = body,
				    .len = strlen(body), .detail = "" };
	char words[100] = "";
	size_t found = openai_refused_field(&reply, &config, fields, 4, words, sizeof(words));

	assert_true(found <= 4);
	assert_true(found == 4 || *words || strstr(body, "\"message\":\"\""));
	return found < 4 ? fields[found] : NULL;
}

static void test_fields_that_are_refused_by_name(void **state)
{
	static const struct { int status; const char *error, *field; } cases[] = {
		{ 400, "\"message\":\"Unsupported value: 'temperature' does not support 0 with this "
		  "model.\",\"param\":\"temperature\",\"code\":\"unsupported_value\"", "temperature" },
		{ 400, "\"message\":\"Unsupported parameter: 'temperature' is not supported with "
		  "this model.\"", "temperature" },
		{ 400, "\"message\":\"UnsupportedParamsError: m1 does not support temperature=0\","
		  "\"param\":\"None\",\"code\":\"400\"", "temperature" },
		{ 400, "\"message\":\"litellm.UnsupportedParamsError: m1 does not support parameters: "
		  "['seed'], for model=m1.\"", "seed" },
		{ 400, "\"type\":\"invalid_request_error\",\"message\":\"`temperature` is deprecated "
		  "for this model.\"", "temperature" },			/* Anthropic */
		{ 400, "\"message\":\"invalid temperature: only 1 is allowed for this model\"",
		  "temperature" },						/* Moonshot */
		{ 400, "\"message\":\"seed: Extra inputs are not permitted\"", "seed" },
		{ 400, "\"message\":\"Invalid JSON payload received. Unknown name \\\"seed\\\": Cannot "
		  "find field.\"", "seed" },					/* Google */
		{ 400, "\"message\":\"Unrecognized request argument supplied: seed\"", "seed" },
		{ 400, "\"message\":\"property 'seed' is unsupported\"", "seed" },	/* Groq */
		{ 400, "\"message\":\"This response_format type is unavailable now\"",
		  "response_format" },						/* DeepSeek */
		{ 400, "\"message\":\"Invalid parameter: 'response_format' of type 'json_schema' is "
		  "not supported with this model.\"", "response_format" },
		{ 400, "\"message\":\"x\",\"param\":\"response_format.json_schema\"",
		  "response_format" },
		{ 422, "\"message\":\"x\",\"param\":\"top_p\"", "top_p" },
		{ 400, "\"code\":\"BadRequest\",\"message\":\"response_format value as json_schema is "
		  "enabled only for api versions 2024-08-01-preview and later\"",
		  "response_format" },						/* Azure */
		{ 400, "\"message\":\"This model does not support response format `json_schema`. "
		  "See supported models\"", "response_format" },		/* Groq */
		{ 400, "\"message\":\"Structured outputs are not supported by this model\"",
		  "response_format" },
		{ 400, "\"message\":\"`temperature` and `top_p` cannot both be specified for this "
		  "model. Please use only one.\"", "temperature" },		/* Anthropic */
		/* Not by name, not refused, or not ours to leave out. */
		{ 400, "\"message\":\"Invalid value for 'messages'.\"", NULL },
		{ 400, "\"message\":\"The temperature is 0.\"", NULL },
		{ 400, "\"message\":\"Unsupported: temperature_x, my_seed, seeds\"", NULL },
		{ 400, "\"param\":\"max_tokens\",\"message\":\"unsupported\"", NULL },
		{ 400, "\"param\":\"temperature\",\"code\":\"context_length_exceeded\","
		  "\"message\":\"x\"", NULL },
		{ 401, "\"param\":\"temperature\",\"message\":\"x\"", NULL },
		{ 500, "\"message\":\"temperature is not supported\"", NULL },
		{ 429, "\"message\":\"temperature is not supported\"", NULL },
	};
	char body[600];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *field;

		snprintf(body, sizeof(body), "{\"error\":{%s}}", cases[i].error);
		field = refused_field(cases[i].status, body);
		if (cases[i].field ? !field || strcmp(field, cases[i].field) != 0 : !!field)
			fail_msg("%s: %s", body, field ? field : "none");
	}
	assert_string_equal(
		refused_field(422, "{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\","
			      "\"seed\"],\"msg\":\"Extra inputs are not permitted\"}]}"), "seed");
	assert_string_equal(		/* Mistral */
		refused_field(422, "{\"object\":\"error\",\"message\":{\"detail\":[{\"type\":"
			      "\"extra_forbidden\",\"loc\":[\"body\",\"seed\"],\"msg\":\"Extra "
			      "inputs are not permitted\"}]},\"type\":\"invalid_request_error\"}"),
		"seed");
	assert_null(refused_field(400, "temperature is not supported"));
}

static void test_retry_after_is_told_and_bounded(void **state)
{
	static const struct { int status; int64_t sent_ms, after_ms; const char *text; } cases[] = {
		{ 429, 20000, 20000,
		  "the provider answered 429 Too Many Requests; retrying after 20 s" },
		{ 503, 1500, 1500,
		  "the provider answered 503 Service Unavailable; retrying after 2 s" },
		{ 503, 86400000, 120000,
		  "the provider answered 503 Service Unavailable; retrying after 120 s" },
		{ 408, 3000, 3000,
		  "the provider answered 408 Request Timeout; retrying after 3 s" },
		{ 400, 3000, 0, "the provider answered 400 Bad Request" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_reply(&(struct http_reply){ .status = cases[i].status,
						 .body = "",
						 .detail = "",
						 .retry_after_ms = cases[i].sent_ms });
		assert_string_equal(ask.err->text, cases[i].text);
		assert_int_equal(ask.err->after_ms, cases[i].after_ms);
	}
}

static void test_broken_calls(void **state)
{
	static const struct {
		enum http_end end;
		int status;
		enum err_kind kind;
		const char *text;
	} cases[] = {
		{ HTTP_UNREACHABLE, 0, ERR_UNAVAILABLE, "the provider cannot be reached: why" },
		{ HTTP_UNTRUSTED, 0, ERR_DENIED,
		  "the provider's certificate is not to be trusted: why; "
		  "check openai.base_url and openai.ca_file" },
		{ HTTP_TIMED_OUT, 0, ERR_UNCLEAR, "the provider did not answer in time: why" },
		{ HTTP_BROKEN, 200, ERR_UNCLEAR,
		  "the connection broke before the provider's answer was complete: why" },
		{ HTTP_OVERSIZED, 0, ERR_RETRY,
		  "the provider's answer is larger than its cap: why" },
		{ HTTP_BROKEN, 503, ERR_UNAVAILABLE,
		  "the provider answered 503 Service Unavailable" },
		{ HTTP_OVERSIZED, 400, ERR_PERMANENT, "the provider answered 400 Bad Request" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_reply(&(struct http_reply){ .end = cases[i].end, .status = cases[i].status,
						 .body = "", .detail = "why", .latency_ms = 31 });
		check_error(cases[i].kind, cases[i].text);
	}
}

static void test_messages_are_made_harmless(void **state)
{
	char body[1000], as[301];

	(void)state;
	memset(as, 'a', sizeof(as) - 1);
	as[sizeof(as) - 1] = '\0';
	snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%.199s\303\251%s\"}}", as, as);
	read_answer(400, body);
	assert_int_equal(strlen(ask.err->text),
			 strlen("the provider answered 400 Bad Request: ") + 199);

	read_answer(400, "{\"error\":{\"message\":\"one\\ntwo\\u001b[31m\\u009b\\u0000three\"}}");
	assert_null(strpbrk(ask.err->text, "\n\x1b\x9b"));
	assert_non_null(strstr(ask.err->text, ": one two"));

	read_answer(400, "{\"error\":{\"message\":\"you sent " KEY " to us\"}}");
	assert_null(strstr(ask.err->text, KEY));
	assert_int_equal(ask.err->kind, ERR_PERMANENT);

	read_answer(200, "{\"model\":\"" KEY "\",\"choices\":[]}");
	assert_null(strstr(ask.used.model, KEY));
}

static void test_refused_content_is_an_outcome(void **state)
{
	static const char *const codes[] = { "content_filter", "content_policy_violation",
					     "invalid_prompt" };
	char body[200];

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		snprintf(body, sizeof(body),
			 "{\"error\":{\"code\":\"%s\",\"message\":\"Not with " KEY "!\"}}",
			 codes[i]);
		read_answer(400, body);
		assert_null(ask.err);
		for (size_t n = 0; n < N; n++) {
			assert_int_equal(verdicts[n].outcome, OUTCOME_REFUSED);
			assert_null(strstr(verdicts[n].reason, KEY));
			assert_non_null(strstr(verdicts[n].reason,
					       "the provider answered 400 Bad Request"));
		}
	}
}

/* ---- envelopes ---- */

/* A moderator's 403 is about what the lines say; that of an account pauses the pool. */
static void test_flagged_lines_deny_nothing(void **state)
{
	(void)state;
	read_answer(
		403,
		"{\"error\":{\"code\":403,\"message\":\"Flagged\","
		"\"metadata\":{\"reasons\":[\"violence\"],"
		"\"flagged_input\":\"line\"}}}");
	assert_null(ask.err);
	for (size_t n = 0; n < N; n++)
		assert_int_equal(verdicts[n].outcome, OUTCOME_REFUSED);
}

static void check_outcomes(enum outcome first, enum outcome second, enum outcome third)
{
	assert_null(ask.err);
	assert_int_equal(verdicts[0].outcome, first);
	assert_int_equal(verdicts[1].outcome, second);
	assert_int_equal(verdicts[2].outcome, third);
}

/* words: the content as it stands in JSON, quotes escaped. */
static void read_content(const char *finish_reason, const char *words)
{
	char body[2000];

	snprintf(body, sizeof(body),
		 "{\"choices\":[{\"finish_reason\":\"%s\",\"message\":{\"content\":\"%s\"}}]}",
		 finish_reason, words);
	read_answer(200, body);
}

#define RATING(line, rating) "{\\\"line\\\":" #line ",\\\"rating\\\":\\\"" rating "\\\"," \
	"\\\"reason\\\":\\\"a } b\\\"}"
#define TWO "{\\\"ratings\\\":[" RATING(4, "good") "," RATING(5, "poor")

static void test_good_answer(void **state)
{
	(void)state;
	read_answer(
		200,
		"{\"model\":\"gpt-4o-mini-2024\",\"error\":null,"
		"\"usage\":{\"prompt_tokens\":812,\"completion_tokens\":64},"
		"\"choices\":[{\"finish_reason\":"
		"\"stop\",\"message\":{\"refusal\":null,\"content\":\"" TWO
		"," RATING(6, "excellent") "," RATING(7, "good") "]}\"}}]}\n");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_RATED);
	assert_string_equal(verdicts[0].rating, "good");
	assert_string_equal(verdicts[1].rating, "poor");
	assert_string_equal(verdicts[2].rating, "excellent");
	assert_string_equal(ask.used.model, "gpt-4o-mini-2024");
	assert_int_equal(ask.used.prompt_tokens, 812);
	assert_int_equal(ask.used.completion_tokens, 64);
	assert_int_equal(ask.used.stray, 1);
}

/* 0.15 and 0.6 a million tokens, to the billionth; a failed call costs what it reports. */
static void test_cost(void **state)
{
	(void)state;
	read_answer(200, "{\"usage\":{\"prompt_tokens\":812,\"completion_tokens\":64}}");
	assert_int_equal(ask.used.cost_nanos, 0);
	config.openai.prompt_price = 150000;
	config.openai.completion_price = 600000;
	read_answer(200, "{\"usage\":{\"prompt_tokens\":812,\"completion_tokens\":64}}");
	assert_int_equal(ask.used.cost_nanos, 121800 + 38400);
	read_answer(500, "{\"usage\":{\"prompt_tokens\":10},\"error\":{\"message\":\"x\"}}");
	assert_int_equal(ask.err->kind, ERR_UNCLEAR);
	assert_int_equal(ask.used.prompt_tokens, 10);
	assert_int_equal(ask.used.cost_nanos, 1500);
	config.openai.prompt_price = 49;
	read_answer(200, "{\"usage\":{\"prompt_tokens\":10}}");
	assert_int_equal(ask.used.cost_nanos, 0);
	config.openai.prompt_price = 50;
	read_answer(200, "{\"usage\":{\"prompt_tokens\":10}}");
	assert_int_equal(ask.used.cost_nanos, 1);
	config.openai.prompt_price = config.openai.completion_price = 100000000000;
	read_answer(
		200,
		"{\"usage\":{\"prompt_tokens\":999999999999,\"completion_tokens\":999999999999}}");
	assert_int_equal(ask.used.cost_nanos, 2000000000000000);
	config.openai.prompt_price = config.openai.completion_price = 0;
	read_reply(&(struct http_reply){
		.end = HTTP_TIMED_OUT, .body = "", .detail = "why", .latency_ms = 31 });
	assert_int_equal(ask.used.cost_nanos, 0);
}

static void test_lines_left_out(void **state)
{
	(void)state;
	read_content("stop", TWO "]}");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_MISSING);
	read_content("length", TWO "]}");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	read_content("content_filter", TWO "]}");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_REFUSED);
}

static void test_cut_replies_keep_whole_ratings(void **state)
{
	(void)state;
	read_content("length", TWO ",{\\\"line\\\":6,\\\"rating\\\":\\\"go");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	assert_string_equal(verdicts[1].rating, "poor");
	read_content("length", TWO ",{\\\"line\\\":6,\\\"rating\\\":\\\"good\\\"");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	read_content("length", "```json\\n" TWO ",");
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	read_content("length", "{\\\"ratings\\\":[" RATING(4, "splendid") ",{");
	check_outcomes(OUTCOME_UNKNOWN_RATING, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);
	read_content("length", "{\\\"ratings\\\":[");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);
	read_content("length", "");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);

	/*
	 * Of other lines than the first, or about to go on when all are rated: it lost its thread
	 * somewhere.
	 */
	read_content(
		"length",
		"{\\\"ratings\\\":[" RATING(5, "good") "," RATING(6, "poor") ",{\\\"line\\\":7");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);
	read_content("length", TWO "," RATING(6, "good") ",{\\\"line\\\":4");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);
	read_content("length", TWO "," RATING(6, "good") "],\\\"ratings\\\":[{\\\"li");
	check_outcomes(OUTCOME_TRUNCATED, OUTCOME_TRUNCATED, OUTCOME_TRUNCATED);

	/* Only a reply known to be cut is mended. */
	read_content("stop", TWO ",{\\\"line\\\":6");
	check_outcomes(OUTCOME_NOT_JSON, OUTCOME_NOT_JSON, OUTCOME_NOT_JSON);
}

static void test_envelopes_without_ratings(void **state)
{
	static const struct { const char *body; enum outcome outcome; } cases[] = {
		{ "", OUTCOME_EMPTY },
		{ "<html>", OUTCOME_NOT_JSON },
		{ "{\"choices\":[{\"message\":{\"content\":\"{}\"}}]", OUTCOME_NOT_JSON },
		{ "null", OUTCOME_NOT_SCHEMA },
		{ "[]", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[]}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":{\"message\":1}}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[{\"message\":\"good\"}]}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[{\"message\":{\"content\":[\"good\"]}}]}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[{\"message\":{}}]}", OUTCOME_EMPTY },
		{ "{\"choices\":[{\"message\":{\"content\":null}}]}", OUTCOME_EMPTY },
		{ "{\"choices\":[{\"message\":{\"content\":\"\"}}]}", OUTCOME_EMPTY },
		{ "{\"choices\":[{\"message\":{\"content\":\"All good.\"}}]}", OUTCOME_NOT_JSON },
		{ "{\"choices\":[{\"message\":{\"content\":\"{}\"}}]}", OUTCOME_NOT_SCHEMA },
		{ "{\"choices\":[{\"message\":{\"content\":\"" TWO "]}\",\"refusal\":\"No.\"}}]}",
		  OUTCOME_REFUSED },
		{ "{\"choices\":[{\"finish_reason\":\"content_filter\","
		  "\"message\":{\"content\":null}}]}",
		  OUTCOME_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_answer(200, cases[i].body);
		check_outcomes(cases[i].outcome, cases[i].outcome, cases[i].outcome);
	}
	read_reply(&(struct http_reply){
		.end = HTTP_OVERSIZED, .status = 200, .body = "", .detail = "why" });
	check_outcomes(OUTCOME_OVERSIZED, OUTCOME_OVERSIZED, OUTCOME_OVERSIZED);
}

/* ---- forms of good answers ---- */

#define THREE TWO "," RATING(6, "excellent") "]}"
#define DRAFT "{\\\"ratings\\\":[" RATING(4, "poor") "," RATING(5, "good") "," RATING(6, "poor") "]}"
#define PART(type, text) "{\"type\":\"" type "\",\"" type "\":\"" text "\"}"

static void read_message_json(const char *message)
{
	char body[3000];

	snprintf(body, sizeof(body), "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{%s}}]}",
		 message);
	read_answer(200, body);
}

static void check_three(void)
{
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_RATED);
	assert_string_equal(verdicts[0].rating, "good");
	assert_string_equal(verdicts[1].rating, "poor");
	assert_string_equal(verdicts[2].rating, "excellent");
}

static void check_all(enum outcome outcome)
{
	check_outcomes(outcome, outcome, outcome);
}

static void test_forms_of_good_answers(void **state)
{
	static const char *const forms[] = {
		"\"content\":[" PART("text", THREE) "]",
		"\"content\":[" PART("thinking", DRAFT) "," PART("text", THREE) "]",
		"\"content\":[{\"type\":\"thinking\",\"thinking\":[" PART("text", DRAFT) "]},"
		PART("text", THREE) "]",
		"\"content\":[" PART("text", TWO) "," PART("reference", "x") ","
		PART("text", "," RATING(6, "excellent") "]}") "]",
		"\"content\":[{\"type\":\"output_text\",\"text\":\"" THREE "\"}]",
		"\"content\":[" PART("text", "<think>" DRAFT "</think>") "," PART("text", THREE) "]",
		"\"reasoning_content\":\"" DRAFT "\",\"content\":\"" THREE "\"",
		"\"reasoning\":\"" DRAFT "\",\"content\":\"" THREE "\"",
		"\"content\":\"<think>\\n" DRAFT "\\n</think>\\n\\n" THREE "\"",
		"\"content\":\"\\n<think></think>" THREE "\"",
		"\"content\":\"Here it is:\\n\\n```json\\n" THREE "\\n```\\n\"",
		"\"content\":\"<think>x</think>\\nHere it is:\\n```\\n" THREE "```\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		read_message_json(forms[i]);
		if (ask.err || verdicts[0].outcome != OUTCOME_RATED)
			fail_msg("%s", forms[i]);
		check_three();
	}
}

static void test_near_misses_rate_nothing(void **state)
{
	static const struct { const char *message; enum outcome outcome; } cases[] = {
		{ "\"content\":[" PART("thinking", THREE) "]", OUTCOME_EMPTY },
		{ "\"content\":[]", OUTCOME_EMPTY },
		{ "\"content\":[\"" THREE "\"]", OUTCOME_NOT_SCHEMA },
		{ "\"content\":[{\"text\":\"" THREE "\"}]", OUTCOME_NOT_SCHEMA },
		{ "\"content\":[{\"type\":\"text\",\"text\":[" PART("text", THREE) "]}]",
		  OUTCOME_NOT_SCHEMA },
		{ "\"content\":[[" PART("text", THREE) "]]", OUTCOME_NOT_SCHEMA },
		{ "\"content\":{\"type\":\"text\",\"text\":\"" THREE "\"}", OUTCOME_NOT_SCHEMA },
		{ "\"content\":[" PART("text", THREE) "," PART("refusal", "No.") "]",
		  OUTCOME_REFUSED },
		{ "\"content\":[" PART("text", DRAFT) "," PART("text", THREE) "]",
		  OUTCOME_NOT_JSON },
		{ "\"content\":\"\",\"reasoning_content\":\"" THREE "\"", OUTCOME_EMPTY },
		{ "\"reasoning\":\"" THREE "\"", OUTCOME_EMPTY },
		{ "\"content\":\"<think>" THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"<think>" THREE "</think>\"", OUTCOME_EMPTY },
		{ "\"content\":\"<think>a</think><think>b</think>" THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"<think>a <think>b</think> c</think>" THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"<think>a</think>" DRAFT "</think>" THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"Well. <think>a</think>" THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"" DRAFT "</think>" THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"```\\n" DRAFT "\\n```\\n```\\n" THREE "\\n```\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"A:\\n```\\n" DRAFT "\\n```\\nB:\\n```\\n" THREE "\\n```\"",
		  OUTCOME_NOT_JSON },
		{ "\"content\":\"" DRAFT "\\n```\\n" THREE "\\n```\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"Here:\\n```json\\n" THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"Here: ```" THREE "```\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"Here: " THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"" DRAFT THREE "\"", OUTCOME_NOT_JSON },
		{ "\"content\":\"" DRAFT "\\n" THREE "\"", OUTCOME_NOT_JSON },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_message_json(cases[i].message);
		if (ask.err || verdicts[0].outcome != cases[i].outcome)
			fail_msg("%s: %s", cases[i].message,
				 ask.err ? ask.err->text : outcome_name(verdicts[0].outcome));
		check_all(cases[i].outcome);
	}
}

static void test_ends_of_other_names(void **state)
{
	static const char *const cuts[] = { "model_length", "MAX_TOKENS", "max_tokens" };
	static const char *const refusals[] = { "SAFETY", "refusal", "PROHIBITED_CONTENT" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		read_content(cuts[i], TWO ",{\\\"line\\\":6");
		check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
		read_content(refusals[i], "");
		check_all(OUTCOME_REFUSED);
	}
	read_content("MALFORMED_FUNCTION_CALL", THREE);		/* whatever else: the words count */
	check_three();
}

/* What was cut within its thoughts is a draft; so is what stands before a fence. */
static void test_cut_drafts_rate_nothing(void **state)
{
	(void)state;
	read_content("length", "<think>" TWO);
	check_all(OUTCOME_TRUNCATED);
	read_content("length", "<think>" THREE);
	check_all(OUTCOME_TRUNCATED);
	read_content("length", "Let me see. " TWO);
	check_all(OUTCOME_TRUNCATED);
	read_content("length", "<think>" DRAFT "</think>");
	check_all(OUTCOME_TRUNCATED);
	read_content("length", "<think>" DRAFT "</think>" TWO);
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	assert_string_equal(verdicts[0].rating, "good");
	read_content("length", "Here it is:\\n```json\\n" TWO);
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
}

/* ---- streams ---- */

#define CHUNK(delta, end) "data: {\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":{" delta \
	"},\"finish_reason\":" end "}]}\n\n"
#define TEXT(words) CHUNK("\"content\":\"" words "\"", "null")
#define DONE "data: [DONE]\n\n"

static void test_streams_that_nobody_asked_for(void **state)
{
	(void)state;
	read_answer(200, ": comment\n\n" CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null")
		    CHUNK("\"reasoning_content\":\"" DRAFT "\"", "null")
		    TEXT(TWO) TEXT("," RATING(6, "excellent")) TEXT("]}") CHUNK("", "\"stop\"")
		    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n"
		    DONE);
	check_three();
	assert_string_equal(ask.used.model, "m1");
	assert_int_equal(ask.used.prompt_tokens, 5);
	read_answer(200, "data: {\"choices\":[{\"delta\":{\"content\":\r\ndata: \"" THREE "\"}}]}\r\n"
		    "\r\nevent: end\r\ndata:[DONE]\r\n");
	check_three();
	read_answer(200, TEXT(TWO) CHUNK("", "\"length\""));
	check_outcomes(OUTCOME_RATED, OUTCOME_RATED, OUTCOME_TRUNCATED);
	/* Of the second choice nothing is taken. */
	read_answer(200, "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\n"
		    TEXT(THREE) DONE);
	check_three();
}

static void test_streams_that_rate_nothing(void **state)
{
	(void)state;
	read_answer(200, TEXT(THREE));
	check_error(ERR_UNCLEAR, "the provider streamed its answer, which nobody asked for, and "
		    "stopped before the end");
	read_answer(200, TEXT(TWO) "data: {\"error\":{\"code\":502,\"message\":\"gone\"}}\n\n" DONE);
	check_error(ERR_UNAVAILABLE, "the provider answered 502 Bad Gateway: gone");
	read_answer(200, TEXT(DRAFT) CHUNK("", "\"stop\"") TEXT(THREE) DONE);
	check_all(OUTCOME_NOT_JSON);
	read_answer(200, TEXT(THREE) DONE TEXT(DRAFT));
	check_all(OUTCOME_NOT_JSON);
	read_answer(200, "data: {\"choices\n\n" TEXT(THREE) DONE);
	check_all(OUTCOME_NOT_JSON);
	read_answer(200, TEXT(THREE) "nonsense\n" DONE);
	check_all(OUTCOME_NOT_JSON);
	read_answer(200, CHUNK("\"content\":{\"text\":\"x\"}", "null") DONE);
	check_all(OUTCOME_NOT_JSON);
	read_answer(200, CHUNK("\"refusal\":\"No.\"", "\"stop\"") DONE);
	check_all(OUTCOME_REFUSED);
	read_answer(200, DONE);
	check_all(OUTCOME_EMPTY);
	read_answer(400, "data: {\"error\":{\"message\":\"x\"}}\n\n");
	assert_int_equal(ask.err->kind, ERR_PERMANENT);
}

static void test_secrets_of_headers_are_not_quoted(void **state)
{
	static char secret[] = "t0p-s3cret-value";
	static char *secrets[] = { secret };

	(void)state;
	config.openai.header_secrets = (struct string_list){ secrets, 1 };
	read_answer(400, "{\"error\":{\"message\":\"Bad token t0p-s3cret-value.\"}}");
	assert_non_null(strstr(ask.err->text, "quotes a secret of openai.headers"));
	assert_null(strstr(ask.err->text, secret));
	read_content("stop", "{\\\"ratings\\\":[{\\\"line\\\":4,\\\"rating\\\":\\\"good\\\","
		     "\\\"reason\\\":\\\"t0p-s3cret-value\\\"}]}");
	assert_int_equal(verdicts[0].outcome, OUTCOME_RATED);
	assert_string_equal(verdicts[0].reason, "");
	config.openai.header_secrets = (struct string_list){ NULL, 0 };
}

static void test_reported_usage_is_bounded(void **state)
{
	(void)state;
	read_answer(
		200,
		"{\"usage\":{\"prompt_tokens\":99999999999999999999,\"completion_tokens\":-5}}");
	assert_int_equal(ask.used.prompt_tokens, 10000000);
	assert_int_equal(ask.used.completion_tokens, 0);
	read_answer(200, "{\"usage\":{\"prompt_tokens\":\"many\"},\"model\":17}");
	assert_int_equal(ask.used.prompt_tokens, 0);
	assert_null(ask.used.model);
	read_answer(200, "{\"usage\":[]}");
	assert_int_equal(ask.used.prompt_tokens, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_errors_by_status_and_code, teardown),
		cmocka_unit_test_teardown(test_what_providers_say, teardown),
		cmocka_unit_test_teardown(test_fields_that_are_refused_by_name, teardown),
		cmocka_unit_test_teardown(test_retry_after_is_told_and_bounded, teardown),
		cmocka_unit_test_teardown(test_broken_calls, teardown),
		cmocka_unit_test_teardown(test_messages_are_made_harmless, teardown),
		cmocka_unit_test_teardown(test_refused_content_is_an_outcome, teardown),
		cmocka_unit_test_teardown(test_flagged_lines_deny_nothing, teardown),
		cmocka_unit_test_teardown(test_good_answer, teardown),
		cmocka_unit_test_teardown(test_cost, teardown),
		cmocka_unit_test_teardown(test_lines_left_out, teardown),
		cmocka_unit_test_teardown(test_cut_replies_keep_whole_ratings, teardown),
		cmocka_unit_test_teardown(test_envelopes_without_ratings, teardown),
		cmocka_unit_test_teardown(test_forms_of_good_answers, teardown),
		cmocka_unit_test_teardown(test_near_misses_rate_nothing, teardown),
		cmocka_unit_test_teardown(test_ends_of_other_names, teardown),
		cmocka_unit_test_teardown(test_cut_drafts_rate_nothing, teardown),
		cmocka_unit_test_teardown(test_streams_that_nobody_asked_for, teardown),
		cmocka_unit_test_teardown(test_streams_that_rate_nothing, teardown),
		cmocka_unit_test_teardown(test_secrets_of_headers_are_not_quoted, teardown),
		cmocka_unit_test_teardown(test_reported_usage_is_bounded, teardown),
	};

	return cmocka_run_group_tests_name("openai", tests, NULL, NULL);
}
