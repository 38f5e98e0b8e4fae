/*
 * The configuration's keys: one row each says where its value lives, what it may be and what it
 * means. Everything else (loading, `show config`, `gradingd -K`, the checks of sample and manual)
 * reads these rows. Any process; pure.
 */
#include "config_keys.h"

#include <ctype.h>
#include <string.h>
#include <sys/un.h>

#include "config/config_share.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define LONGEST (365 * DAY)
/* In millionths; times all tokens of a call it fits into 64 bits. */
#define PRICE_MAX (100000 * INT64_C(1000000))

#define SOCKET_PATH_CAP (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static const char *const pool_modes[] = { "session", "transaction", NULL };
static const char *const backends[] = { "rubric", "openai", "command", NULL };
static const char *const fallbacks[] = { "rubric", "openai", "command", "", NULL };
static const char *const response_formats[] = { "json_schema", "json_object", "none", NULL };
static const char *const mirrors[] = { "auto", "on", "off", NULL };
static const char *const on_off[] = { "on", "off", NULL };
static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };

static const char *wrong_socket(const char *text)
{
	if (text[0] == '/' && strlen(text) <= SOCKET_PATH_CAP)
		return NULL;
	return "an absolute path of at most 107 bytes, as Unix sockets have it";
}

static const char *wrong_pid_file(const char *text)
{
	return !text[0] || text[0] == '/' ? NULL : "an absolute path, or empty";
}

static const char *wrong_log(const char *text)
{
	if (text[0] == '/' || strcmp(text, "stderr") == 0 || strcmp(text, "syslog") == 0)
		return NULL;
	return "\"stderr\", \"syslog\" or an absolute path";
}

static const char *wrong_url(const char *text)
{
	const char *host = strncmp(text, "http://", 7) == 0 ? text + 7 :
			   strncmp(text, "https://", 8) == 0 ? text + 8 : "";

	if (!*host || strchr("/?#", *host) || strchr(text, ' '))
		return "a URL that begins with http:// or https://";
	if (strchr(host, '@'))
		return "a URL without user and password: the key belongs in openai.api_key_file";
	return NULL;
}

static const char *wrong_proxy(const char *text)
{
	static const char *const schemes[] = { "http://", "https://", "socks5://", "socks5h://" };

	if (!*text || strcmp(text, "none") == 0)
		return NULL;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i]);

		if (strncmp(text, schemes[i], len) == 0 && text[len] && !strpbrk(text, " \t\r\n"))
			return NULL;
	}
	return "empty, \"none\", or a URL that begins with http://, https://, socks5:// or "
	       "socks5h://";
}

/* Someone will put the key itself here; most keys have a '-' or are longer than any sane name. */
static const char *wrong_variable(const char *text)
{
	size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	if (!text[n] && n < 40 && !isdigit((unsigned char)text[0]))
		return NULL;
	return "the name of an environment variable, not the key itself";
}

static bool is_token(const char *text)
{
	static const char allowed[] = "!#$%&'*+-.^_`|~";	/* RFC 9110, 5.6.2 */

	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(allowed, *text))
			return false;
	return true;
}

static const char *wrong_header(const char *text)
{
	return *text && is_token(text) ? NULL : "the name of a header, such as \"api-key\"";
}

static const char *wrong_scheme(const char *text)
{
	return is_token(text) ? NULL : "one word, \"none\" or empty";
}

static const char *wrong_share(const char *text)
{
	size_t name_len;

	if (config_share_weight(text, &name_len) > 0)
		return NULL;
	return "a tenant of at most 200 bytes, with a weight from 1 to 1000 behind a colon where it "
	       "is not 1: [ \"acme:3\", \"beta\" ]";
}

/* What a request says by itself. */
static const char *const own_fields[] = {
	"model", "messages", "stream", "response_format", "temperature", NULL,
};
static const char *const own_headers[] = {
	"Accept", "Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Expect",
	"Host", "TE", "Trailer", "Transfer-Encoding", "Upgrade", NULL,
};

#define KEY(kind, name, member, text) \
	.path = name, .type = KEY_##kind, .offset = offsetof(struct config, member), .preset = text

/* Keys of one group stand together. The help is also the comment in etc/gradingd.conf. */
const struct config_key config_keys[] = {
	{ KEY(STRING, "database.conninfo", database.conninfo, "dbname=grading"), .secret = true,
	  .help = "Where Postgres is: a libpq connection string or a postgres:// URI." },
	{ KEY(STRING, "database.listen_conninfo", database.listen_conninfo, ""), .secret = true,
	  .help = "A direct connection for LISTEN when conninfo leads to a pooler; empty: none." },
	{ KEY(CHOICE, "database.pool_mode", database.pool_mode, "session"), .choices = pool_modes,
	  .help = "\"transaction\" behind a transaction pooler (PgBouncer, Supavisor)." },

	{ KEY(INTEGER, "pool.workers", pool.workers, "4"), .min = 1, .max = 256,
	  .help = "Worker processes." },
	{ KEY(INTEGER, "pool.in_flight", pool.in_flight, "32"), .min = 1, .max = 4096,
	  .help = "Jobs that one worker has with the rater at a time, at most." },
	{ KEY(INTEGER, "pool.claim_batch", pool.claim_batch, "64"), .min = 1, .max = 1000,
	  .help = "Jobs that one worker claims at a time." },
	{ KEY(DURATION, "pool.drain", pool.drain_ms, "30s"), .min = 0, .max = HOUR,
	  .help = "How long a stopping worker may take to finish what it has." },
	{ KEY(DURATION, "pool.beat", pool.beat_ms, "30s"), .min = SECOND, .max = HOUR,
	  .help = "A child silent for so long counts as hung and is replaced." },
	{ KEY(INTEGER, "pool.max_jobs", pool.max_jobs, "0"), .min = 0, .max = INT64_MAX,
	  .help = "A worker retires after so many jobs and is replaced by a fresh one; 0: never." },
	{ KEY(STRING, "pool.user", pool.user, ""), .restart = true,
	  .help = "The user to run as when started by root; empty: no change." },

	{ KEY(DURATION, "queue.poll", queue.poll_ms, "5s"), .min = 100, .max = HOUR,
	  .help = "How often the queue is looked at when no notification comes." },
	{ KEY(DURATION, "queue.stuck_after", queue.stuck_after_ms, "10m"),
	  .min = SECOND, .max = LONGEST,
	  .help = "A job in processing for so long is taken back from its lost host." },
	{ KEY(DURATION, "queue.job_deadline", queue.job_deadline_ms, "2m"),
	  .min = 100, .max = LONGEST,
	  .help = "How long one attempt at a job may take; at most four fifths of stuck_after." },
	{ KEY(DURATION, "queue.keep_completed", queue.keep_completed_ms, "24h"),
	  .min = SECOND, .max = LONGEST, .or_zero = true,
	  .help = "Completed jobs are deleted when so old; 0: kept for ever." },
	{ KEY(DURATION, "queue.keep_failed", queue.keep_failed_ms, "0"),
	  .min = SECOND, .max = LONGEST, .or_zero = true,
	  .help = "Failed jobs are deleted when so old; 0: kept for ever." },
	{ KEY(DURATION, "queue.keep_ratings", queue.keep_ratings_ms, "0"),
	  .min = SECOND, .max = LONGEST, .or_zero = true,
	  .help = "Ratings are deleted so long after their session last changed; 0: kept for "
		  "ever." },
	{ KEY(DURATION, "queue.keep_sessions", queue.keep_sessions_ms, "0"),
	  .min = SECOND, .max = LONGEST, .or_zero = true,
	  .help = "Sessions are deleted, with all that is kept of them, so long after they last "
		  "changed; 0: kept for ever." },
	{ KEY(INTEGER, "queue.max_pending", queue.max_pending, "0"), .min = 0, .max = 1000000000,
	  .help = "Transcripts are refused while more jobs than this would wait; 0: never." },

	{ KEY(CHOICE, "rater.backend", rater.backend, "rubric"), .choices = backends,
	  .help = "Who rates: \"rubric\" (built in), \"openai\" (any compatible API) or "
		  "\"command\" (a program)." },
	{ KEY(CHOICE, "rater.fallback", rater.fallback, ""), .choices = fallbacks,
	  .help = "Who rates while the breaker is open: another backend; empty: nobody." },
	{ KEY(LIST, "rater.scale", rater.scale, "excellent, good, poor, missed_opportunity"),
	  .min = 1, .max = 20,
	  .help = "The ratings that a line can get." },
	{ KEY(LIST, "rater.speakers", rater.speakers, "rep, user"), .min = 1, .max = 20,
	  .help = "Whose lines are rated, in lower case; those of others are context." },
	{ KEY(INTEGER, "rater.alternatives", rater.alternatives, "3"), .min = 0, .max = 10,
	  .help = "Better phrasings kept for a line, at most." },
	{ KEY(INTEGER, "rater.context_lines", rater.context_lines, "0"), .min = 0, .max = 20,
	  .help = "Neighbours before and after a line that the rater sees." },
	{ KEY(STRING, "rater.prompt_file", rater.prompt_file, ""), .file = true,
	  .help = "Instructions for the model; empty: those built in." },
	{ KEY(INTEGER, "rater.lines_per_call", rater.lines_per_call, "20"), .min = 1, .max = 200,
	  .help = "Lines in one call to the rater, at most." },
	{ KEY(CHOICE, "rater.session_grading", rater.session_grading, "on"), .choices = on_off,
	  .help = "Whether full_grading jobs grade a session as a whole: \"on\", or \"off\": they "
		  "fail." },
	{ KEY(STRING, "rater.session_prompt_file", rater.session_prompt_file, ""), .file = true,
	  .help = "Instructions for the model about a session as a whole; empty: those built in." },
	{ KEY(INTEGER, "rater.session_bytes", rater.session_bytes, "262144"),
	  .min = 1024, .max = 8 << 20,
	  .help = "Bytes of a conversation that is graded as a whole, at most; about four a token." },

	{ KEY(STRING, "rubric.file", rubric.file, ""), .file = true,
	  .help = "Rules of the rubric; empty: those built in." },

	{ KEY(STRING, "openai.base_url", openai.base_url, "https://api.openai.com/v1"),
	  .wrong = wrong_url,
	  .help = "The API; /chat/completions is appended." },
	{ KEY(STRING, "openai.model", openai.model, "gpt-4o-mini"), .max = 127,
	  .help = "The model to ask." },
	{ KEY(STRING, "openai.api_key_env", openai.api_key_env, "OPENAI_API_KEY"),
	  .wrong = wrong_variable, .secret = true,
	  .help = "The environment variable that holds the API key; empty: none." },
	{ KEY(STRING, "openai.api_key_file", openai.api_key_file, ""), .file = true,
	  .help = "The file that holds the API key, instead of the variable; empty: none." },
	{ KEY(STRING, "openai.ca_file", openai.ca_file, ""), .file = true,
	  .help = "Certificates (PEM) to trust instead of the system's; empty: the system's." },
	{ KEY(STRING, "openai.proxy", openai.proxy, ""), .wrong = wrong_proxy, .secret = true,
	  .help = "The proxy's URL; \"none\": no proxy; empty: as https_proxy and its kin say." },
	{ KEY(DURATION, "openai.timeout", openai.timeout_ms, "30s"), .min = 10, .max = 10 * MINUTE,
	  .help = "How long one call may take; never beyond the job's deadline." },
	{ KEY(INTEGER, "openai.requests_per_minute", openai.requests_per_minute, "0"),
	  .min = 0, .max = INT64_MAX,
	  .help = "Requests sent in any minute, by all workers of this host, at most; "
		  "0: no limit." },
	{ KEY(INTEGER, "openai.tokens_per_minute", openai.tokens_per_minute, "0"),
	  .min = 0, .max = INT64_MAX,
	  .help = "Tokens used in any minute, by all workers of this host, at most; 0: no limit." },
	{ KEY(CHOICE, "openai.response_format", openai.response_format, "json_schema"),
	  .choices = response_formats,
	  .help = "The structured output asked for: \"json_schema\", \"json_object\" or "
		  "\"none\"." },
	{ KEY(DECIMAL, "openai.temperature", openai.temperature, "0"), .min = 0, .max = 2000000,
	  .or_none = true,
	  .help = "The temperature asked for; \"none\": left to the model." },
	{ KEY(OBJECT, "openai.extra", openai.extra, "{ }"), .max = 32, .not_in = own_fields,
	  .help = "More fields of each request: { seed = 7; reasoning_effort = \"low\"; }" },
	{ KEY(STRING, "openai.auth_header", openai.auth_header, "Authorization"),
	  .wrong = wrong_header, .max = 64,
	  .help = "The header that holds the API key." },
	{ KEY(STRING, "openai.auth_scheme", openai.auth_scheme, ""), .wrong = wrong_scheme,
	  .max = 64,
	  .help = "The word before the key; \"none\": none; empty: Bearer in Authorization, "
		  "else none." },
	{ KEY(HEADERS, "openai.headers", openai.headers, "{ }"), .max = 16, .not_in = own_headers,
	  .secret = true,
	  .help = "More headers, each a string, or \"env:VARIABLE\" or \"file:PATH\" for where "
		  "it is." },
	{ KEY(DECIMAL, "openai.prompt_price", openai.prompt_price, "0"), .min = 0, .max = PRICE_MAX,
	  .help = "Price of a million prompt tokens, in the currency of your choice; 0: unknown." },
	{ KEY(DECIMAL, "openai.completion_price", openai.completion_price, "0"),
	  .min = 0, .max = PRICE_MAX,
	  .help = "Price of a million completion tokens; 0: unknown." },

	{ KEY(WORDS, "command.argv", command.argv, "[ ]"), .max = 64,
	  .help = "The program, by its absolute path, and its arguments; no shell reads them." },
	{ KEY(DURATION, "command.timeout", command.timeout_ms, "30s"),
	  .min = 10, .max = 10 * MINUTE,
	  .help = "How long one answer may take; then the program is killed and started anew." },

	{ KEY(WORDS, "tenants.shares", tenants.shares, "[ ]"), .max = CONFIG_SHARES_MAX,
	  .wrong = wrong_share,
	  .help = "Tenants with a share of the work of their own: \"acme:3\" weighs three times "
		  "\"beta\"." },

	{ KEY(DURATION, "cache.ttl", cache.ttl_ms, "24h"), .min = 0, .max = LONGEST,
	  .help = "How long a rating serves equal lines again; 0: no cache." },

	{ KEY(CHOICE, "mirror", mirror, "auto"), .choices = mirrors,
	  .help = "Progress and ratings go into live_sessions.analytics, too: \"auto\" (where that "
		  "is), \"on\" or \"off\"." },

	{ KEY(HOOKS, "webhooks.hooks", webhooks.hooks, "( )"),
	  .max = WEBHOOKS_MAX,
	  .help = "Who is told when a session ends: ( { name = \"app\"; url = \"https://...\"; "
		  "secret_env = \"VARIABLE\"; }, ... )" },
	{ KEY(INTEGER, "webhooks.concurrency", webhooks.concurrency, "8"), .min = 1, .max = 64,
	  .help = "Calls to one receiver at a time, by one host, at most." },
	{ KEY(DURATION, "webhooks.backoff", webhooks.backoff_ms, "5s"), .min = 10, .max = HOUR,
	  .help = "The pause after a first refusal; each next one is four times as long, up to 6h." },
	{ KEY(DURATION, "webhooks.give_up_after", webhooks.give_up_after_ms, "3d"),
	  .min = 100, .max = 30 * DAY,
	  .help = "A message that was refused for so long is dead." },
	{ KEY(DURATION, "webhooks.keep_delivered", webhooks.keep_delivered_ms, "24h"),
	  .min = SECOND, .max = LONGEST,
	  .help = "Messages are deleted so long after they were delivered." },
	{ KEY(DURATION, "webhooks.keep_dead", webhooks.keep_dead_ms, "30d"),
	  .min = SECOND, .max = LONGEST,
	  .help = "Dead messages are deleted when so old." },

	{ KEY(STRING, "control.socket", control.socket, "/run/gradingd/control.sock"),
	  .wrong = wrong_socket, .restart = true,
	  .help = "The control socket, for gradingctl and scrapers." },
	{ KEY(STRING, "control.group", control.group, ""), .restart = true,
	  .help = "A group whose members may ask, but change nothing; empty: none." },
	{ KEY(STRING, "control.pid_file", control.pid_file, ""),
	  .wrong = wrong_pid_file, .restart = true,
	  .help = "Where -d writes the process id; empty: gradingd.pid beside the socket." },

	{ KEY(STRING, "log.to", log.to, "stderr"), .wrong = wrong_log,
	  .help = "Where the log goes: \"stderr\" (with -d: syslog), \"syslog\" or an absolute "
		  "path." },
	{ KEY(CHOICE, "log.level", log.level, "info"), .choices = log_levels,
	  .help = "The least important lines logged: \"error\", \"warn\", \"info\" or \"debug\"." },
};
const size_t config_keys_n = sizeof(config_keys) / sizeof(config_keys[0]);

const struct config_key *config_key_find(const char *path)
{
	for (size_t i = 0; i < config_keys_n; i++)
		if (strcmp(path, config_keys[i].path) == 0)
			return &config_keys[i];
	return NULL;
}

size_t config_key_group_len(const struct config_key *key)
{
	return strcspn(key->path, ".");
}

bool config_key_in_group(const struct config_key *key)
{
	return key->path[config_key_group_len(key)] == '.';
}

const struct config_key *config_group_find(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < config_keys_n; i++)
		if (config_key_group_len(&config_keys[i]) == len &&
		    strncmp(name, config_keys[i].path, len) == 0)
			return &config_keys[i];
	return NULL;
}
