/*
 * `gradingd -t`: connects as a worker would, opens the rater as a worker would, and says how each
 * went; a reload has the same tried first. Runs in a child forked for it, so that the supervisor's
 * program stays free of libpq and libcurl. It changes nothing and calls no provider.
 */
#include "check.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/embed.h"
#include "base/exit_code.h"
#include "base/loop.h"
#include "base/mask.h"
#include "lib/hash.h"
#include "pg/pg.h"
#include "pg/pgbinary.h"
#include "queue/adopted.h"
#include "queue/statements.h"
#include "rater/backends.h"
#include "rater/rater.h"
#include "supervisor/roles.h"

#define PATIENCE_MS 10000
#define KNOCK_MS 2500		/* before a reload; within a trial's time */

struct check {
	const struct config *config;
	struct pg *pg;
	bool refused;		/* something a start would not survive */
	bool unmigrated;	/* said already; what migrations bring need not be there */
	int status;		/* -1 while it goes on */
};

/*
 * Of functions: what functions.sql was applied with, unless a newer release did or psql, which
 * keeps no checksum. By way of jsonb, as a table of a first release may have no such column.
 */
enum {
	QUESTION_MIGRATIONS, QUESTION_FUNCTIONS, QUESTION_COLUMNS, QUESTION_NUMBERS,
	QUESTION_ENCODING, QUESTION_BACKEND_PID, QUESTION_COUNT
};
static const struct statement questions[QUESTION_COUNT] = {
	[QUESTION_MIGRATIONS] = { "versions", "SELECT version::integer FROM grading_migrations",
		0 },
	[QUESTION_FUNCTIONS] = { "functions",
		"SELECT max(m.version)::integer, coalesce(max(to_jsonb(m) ->> 'checksum'::text)"
		" FILTER (WHERE m.version = 0), ''::text),"
		" coalesce(bool_or(m.version = 0), false) FROM grading_migrations m", 0 },
	[QUESTION_COLUMNS] = { "columns", ADOPTED_COLUMNS_SQL, 0 },
	[QUESTION_NUMBERS] = { "numbers",
		"SELECT name FROM pg_catalog.unnest("
		"ARRAY['grading_claims'::text, 'grading_cursors'::text]) AS name"
		" WHERE NOT coalesce(has_sequence_privilege(to_regclass(name)::oid,"
		" 'USAGE'::text), false)", 0 },
	[QUESTION_ENCODING] = { "encoding", "SELECT current_setting('server_encoding'::text)::text",
		0 },
	[QUESTION_BACKEND_PID] = { "backend_pid", "SELECT pg_backend_pid()", 0 },
};

static void say(const char *what, const char *how)
{
	printf("%-14s %s\n", what, how);
}

/*
 * A pooler hands out keys of its own: when the pid of the connection is not the pid of the server
 * process, something stands in between, and session state would not last.
 */
static void on_backend_pid(void *arg, const PGresult *result, const struct err *err)
{
	struct check *c = arg;
	bool pooled = result && pgvalue_int4(result, 0, 0) != pg_backend_pid(c->pg);
	bool session = c->config->database.pool_mode == POOL_MODE_SESSION;

	c->status = c->refused ? EXIT_BAD_CONFIG : EXIT_STOPPED;
	if (err)
		say("pool mode", err->text);
	else if (pooled && session)
		say("pool mode",
		    "session, but a pooler stands in between: unless it pools sessions, set "
		    "database.pool_mode = \"transaction\"");
	else if (!pooled && !session)
		say("pool mode",
		    "transaction, but the connection is direct: \"session\" would be faster");
	else
		say("pool mode", session ? "session: ok" : "transaction: ok");
}

static bool functions_are_current(const PGresult *result)
{
	int newest = atoi(embedded_migrations[embedded_migrations_n - 1].name);
	const char *checksum = PQgetvalue(result, 0, 1);
	char ours[HASH_HEX_SIZE];

	hash_text(embedded_functions.text, embedded_functions.len, ours);
	return pgvalue_int4(result, 0, 0) > newest ||
		(pgvalue_bool(result, 0, 2) && (!checksum[0] || strcmp(checksum, ours) == 0));
}

static void on_functions(void *arg, const PGresult *result, const struct err *err)
{
	const struct check *c = arg;

	if (c->unmigrated)
		return;
	if (err)
		say("functions", err->text);
	else
		say("functions", functions_are_current(result) ? "ok"
		    : "of another release; `gradingctl migrate` brings ours");
}

static bool has_version(const PGresult *result, int version)
{
	for (int i = 0; i < PQntuples(result); i++)
		if (pgvalue_int4(result, i, 0) == version)
			return true;
	return false;
}

/* Each of this release: the newest of the database may be there, and one below it not. */
static void on_migrations(void *arg, const PGresult *result, const struct err *err)
{
	struct check *c = arg;
	const char *first = NULL;
	char text[300];
	int missing = 0;

	for (size_t i = 0; !err && i < embedded_migrations_n; i++) {
		if (has_version(result, atoi(embedded_migrations[i].name)))
			continue;
		first = first ? first : embedded_migrations[i].name;
		missing++;
	}
	snprintf(text, sizeof(text), "%s was not applied", first ? first : "");
	if (missing > 1)
		snprintf(text, sizeof(text), "%s and %d more were not applied", first, missing - 1);
	if (missing > 0)
		strcat(text, "; run `gradingctl migrate`");
	say("schema", err ? err->text : missing > 0 ? text : "ok");
	c->unmigrated = missing > 0;
	c->refused |= err || missing > 0;
}

/* An adopted table has the types that its application gave it. */
static void on_columns(void *arg, const PGresult *result, const struct err *err)
{
	struct check *c = arg;
	bool ok = true;
	char text[400];

	for (int i = 0; !err && i < PQntuples(result); i++) {
		if (adopted_fits(PQgetvalue(result, i, ADOPTED_TABLE),
				 PQgetvalue(result, i, ADOPTED_COLUMN),
				 PQgetvalue(result, i, ADOPTED_TYPE), text, sizeof(text)))
			continue;
		say("columns", text);
		ok = false;
	}
	if (err)
		say("columns", err->text);
	else if (ok)
		say("columns", "ok");
	c->refused |= !ok;
}

/* They are missing, or the rights on tables and functions were restored without these. */
static void on_numbers(void *arg, const PGresult *result, const struct err *err)
{
	struct check *c = arg;
	int n = PQntuples(result);
	char text[300];

	if (c->unmigrated)
		return;
	for (int i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "no right to draw from the sequence %.60s; as the "
			 "owner of the tables: SELECT grading_secure()", PQgetvalue(result, i, 0));
		say("numbers", text);
	}
	c->refused |= n > 0;
	if (n == 0)
		say("numbers", err ? err->text : "ok");
}

static void on_encoding(void *arg, const PGresult *result, const struct err *err)
{
	char text[200];

	(void)arg;
	if (err || strcmp(PQgetvalue(result, 0, 0), "UTF8") == 0)
		return;
	snprintf(text, sizeof(text), "the database's encoding is %.40s: jobs and answers with "
		 "letters that it does not have will fail; UTF8 has all", PQgetvalue(result, 0, 0));
	say("warning", text);
}

static void on_ready(void *arg)
{
	static pg_answer_fn *const answers[QUESTION_COUNT] = {
		[QUESTION_MIGRATIONS] = on_migrations, [QUESTION_FUNCTIONS] = on_functions,
		[QUESTION_COLUMNS] = on_columns,
		[QUESTION_NUMBERS] = on_numbers, [QUESTION_ENCODING] = on_encoding,
		[QUESTION_BACKEND_PID] = on_backend_pid,	/* the last: it ends the check */
	};
	struct check *c = arg;

	say("database", "ok");
	for (int i = 0; i < QUESTION_COUNT; i++)
		if (pg_send(c->pg, &questions[i], NULL, answers[i], c) == -1) {
			c->status = EXIT_TRY_LATER;
			return;
		}
}

static void on_down(void *arg, enum pg_trouble trouble, const struct err *err)
{
	struct check *c = arg;

	say("database", err->text);
	if (trouble == PG_REFUSED && !strstr(err->text, "gradingctl migrate"))
		say("", "see database.conninfo");
	c->status = trouble == PG_REFUSED ? EXIT_BAD_CONFIG : EXIT_TRY_LATER;
}

static int check_database(const struct config *config, struct loop *loop)
{
	static const struct pg_events events = { on_ready, on_down, NULL };
	struct check c = { .config = config, .status = -1 };
	struct pg_options options = {
		.conninfo = config->database.conninfo, .application_name = "gradingd -t",
		.session = config->database.pool_mode == POOL_MODE_SESSION,
		.statements = questions, .nstatements = QUESTION_COUNT,
		.schema_version = 0,	/* an old one is looked at all the same, and then refused */
	};
	int64_t until = now_ms() + PATIENCE_MS;

	c.pg = pg_new(loop, &options, &events, &c);
	while (c.status == -1 && now_ms() < until)
		loop_turn(loop, until - now_ms());
	pg_free(c.pg);
	if (c.status == -1)
		say("database", "no answer");
	return c.status == -1 ? EXIT_TRY_LATER : c.status;
}

/* Frees the rater; NULL with err when it could not be opened. */
static int check_opened(const char *what, struct rater *rater, struct err *err)
{
	char text[300];

	if (!rater || rater_check(rater, err) == -1) {
		say(what, err->text);
		rater_free(rater);
		return EXIT_BAD_CONFIG;
	}
	snprintf(text, sizeof(text), "%s, model %s: ok%s", rater->ops->name, rater->model,
		 rater->instant ? "" : " (it was not called)");
	say(what, text);
	rater_free(rater);
	return EXIT_STOPPED;
}

static int check_rater(const struct config *config, struct loop *loop)
{
	struct err err;
	int status = check_opened("rater", backends_open(config, loop, &err), &err);
	struct rater *fallback = backends_open_fallback(config, loop, &err);
	int fallback_status = EXIT_STOPPED;

	if (fallback || err.kind != ERR_NONE)
		fallback_status = check_opened("fallback", fallback, &err);
	return status == EXIT_STOPPED ? fallback_status : status;
}

/* ---- before a reload ---- */

/* Frees the rater; -1 with err when it could not be opened. */
static int check_silently(struct rater *rater, struct err *err)
{
	int rc = rater ? rater_check(rater, err) : -1;

	rater_free(rater);
	return rc;
}

static int check_raters(const struct config *config, struct loop *loop, struct err *err)
{
	struct rater *fallback;

	if (check_silently(backends_open(config, loop, err), err) == -1)
		return -1;
	fallback = backends_open_fallback(config, loop, err);
	return fallback || err->kind != ERR_NONE ? check_silently(fallback, err) : 0;
}

/*
 * Goes in as a worker would, statements prepared. A database that is away is no reason to refuse:
 * it is waited for.
 */
struct knock { bool over; struct err refusal; };

static void on_let_in(void *arg)
{
	((struct knock *)arg)->over = true;
}

static void on_turned_away(void *arg, enum pg_trouble trouble, const struct err *err)
{
	struct knock *k = arg;

	k->over = true;
	if (trouble == PG_REFUSED)
		k->refusal = *err;
}

static int check_entry(const struct config *config, struct loop *loop, struct err *err)
{
	static const struct pg_events events = { on_let_in, on_turned_away, NULL };
	struct pg_options options = {
		.conninfo = config->database.conninfo, .application_name = "gradingd reload",
		.session = config->database.pool_mode == POOL_MODE_SESSION,
		.statements = statements, .nstatements = STATEMENT_COUNT,
		.schema_version = SCHEMA_VERSION,
	};
	int64_t until = now_ms() + KNOCK_MS;
	struct knock k = { .over = false };
	struct pg *pg = pg_new(loop, &options, &events, &k);

	while (!k.over && now_ms() < until)
		loop_turn(loop, until - now_ms());
	pg_free(pg);
	*err = k.refusal;
	return k.refusal.kind == ERR_NONE ? 0 : -1;
}

/* As workers and the janitor have them prepared; a pooler of transactions is sent each as it is. */
static int check_statements(const struct config *config, struct loop *loop)
{
	struct err err;

	if (config->database.pool_mode != POOL_MODE_SESSION)
		return EXIT_STOPPED;
	if (check_entry(config, loop, &err) == -1) {
		say("statements", err.text);
		return EXIT_BAD_CONFIG;
	}
	say("statements", "ok");
	return EXIT_STOPPED;
}

void check_reload_main(const struct config *config, int fd)
{
	struct loop *loop = loop_new();
	struct err err = { .kind = ERR_NONE, .text = "out of memory" };
	int rc = loop ? check_raters(config, loop, &err) : -1;
	const char *word = TRIAL_OK;

	if (rc == 0)
		rc = check_entry(config, loop, &err);
	loop_free(loop);
	if (rc == -1)
		word = err.text;
	_exit(write(fd, word, strlen(word)) == -1 ? EXIT_FAILED : EXIT_STOPPED);
}

/* Else "ok" would be somebody else's: what root may read, others may not. */
static void say_user(const struct config *config)
{
	const struct passwd *user = getpwuid(geteuid());
	char text[300];

	snprintf(text, sizeof(text), "checked as %s%s",
		 user ? user->pw_name : "a user without a name",
		 user && strcmp(user->pw_name, config->pool.user) == 0 ? " (pool.user)" : "");
	say("user", text);
}

static bool holds_password(const char *conninfo)
{
	struct buf masked;
	bool found;

	buf_init(&masked, SIZE_MAX);
	mask_secrets(conninfo, &masked);
	found = strcmp(buf_text(&masked), conninfo) != 0;
	buf_free(&masked);
	return found;
}

static void warn_of_readers(const struct config *config)
{
	struct stat st;

	if (stat(config->path, &st) == 0 && (st.st_mode & S_IROTH) &&
	    (holds_password(config->database.conninfo) ||
	     holds_password(config->database.listen_conninfo) ||
	     holds_password(config->openai.base_url) || holds_password(config->openai.proxy)))
		say("warning",
		    "the configuration holds a password and everybody may read it: chmod o-r, and "
		    "chgrp it to the daemon's group, or use ~/.pgpass");
}

int check_main(const struct config *config)
{
	struct loop *loop = loop_new();
	int database, rater;

	if (!loop)
		return EXIT_FAILED;
	say("configuration", "ok");
	say_user(config);
	warn_of_readers(config);
	database = check_database(config, loop);
	if (database == EXIT_STOPPED)
		database = check_statements(config, loop);
	rater = check_rater(config, loop);
	loop_free(loop);
	fflush(stdout);
	return rater == EXIT_STOPPED ? database : rater;
}
