/*
 * The words of the control socket: the table, finding a row in it, and the commands that change
 * something (what `show` shows is in show.c). Supervisor; never waits, and never trusts the line.
 */
#include "control/commands.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "control/server.h"
#include "scoreboard/breaker.h"
#include "scoreboard/metrics.h"
#include "supervisor/supervisor.h"
#include "show.h"

#define WORDS_MAX 8

enum access { CMD_READ, CMD_ADMIN };

struct request {
	struct supervisor *s;
	const struct command *command;
	char **args;		/* nargs of them, within what the row allows */
	int nargs;
	bool json;
	struct buf *out;
};

struct command {
	const char *words;
	const char *args;	/* as help shows them */
	int min_args, max_args;	/* without "json", which every CMD_READ takes */
	enum access access;
	int (*run)(struct request *r, struct err *err);
	const struct view *view;
	const char *help;	/* NULL: another way to say the row above */
};

/* ---- the commands ---- */

static int cmd_view(struct request *r, struct err *err)
{
	(void)err;
	view_render(r->command->view, r->s, r->json, r->out);
	return 0;
}

static int cmd_metrics(struct request *r, struct err *err)
{
	(void)err;
	if (r->json)
		metrics_render_json(supervisor_scoreboard(r->s), r->out);
	else
		metrics_render(supervisor_scoreboard(r->s), r->out);
	return 0;
}

static int cmd_pause(struct request *r, struct err *err)
{
	(void)err;
	supervisor_pause(r->s, true);
	buf_str(r->out, "paused: nothing more is claimed until \"resume\", jobs in hand are finished\n");
	return 0;
}

static int cmd_resume(struct request *r, struct err *err)
{
	(void)err;
	supervisor_pause(r->s, false);
	buf_str(r->out, "resumed\n");
	return 0;
}

static int cmd_drain(struct request *r, struct err *err)
{
	(void)err;
	supervisor_drain(r->s);
	buf_str(r->out, "draining: the daemon stops when the jobs in hand are finished\n");
	return 0;
}

static int cmd_reload(struct request *r, struct err *err)
{
	return supervisor_reload(r->s, err) == -1 ? -1 : COMMAND_GOES_ON;
}

/* Digits alone, and few enough that no sum of ours overflows. */
static int parse_number(const char *text, int *value, struct err *err)
{
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 6 || text[len])
		return err_set(err, ERR_PERMANENT, "\"%.32s\" is not a number of at most six digits", text);
	*value = atoi(text);
	return 0;
}

static int cmd_scale(struct request *r, struct err *err)
{
	int workers;

	if (parse_number(r->args[0], &workers, err) == -1 || supervisor_scale(r->s, workers, err) == -1)
		return -1;
	buf_printf(r->out, "scaling to %d worker%s\n", workers, workers == 1 ? "" : "s");
	return 0;
}

static int cmd_recycle(struct request *r, struct err *err)
{
	int slot = -1;

	if (r->nargs && parse_number(r->args[0], &slot, err) == -1)
		return -1;
	if (slot >= SLOT_COUNT)
		return err_set(err, ERR_PERMANENT, "there is no slot %d; \"show workers\" lists them", slot);
	if (supervisor_recycle(r->s, slot, err) == -1)
		return -1;
	if (slot == -1)
		buf_str(r->out, "recycling all workers, one after the other\n");
	else
		buf_printf(r->out, "recycling slot %d\n", slot);
	return 0;
}

static int cmd_log(struct request *r, struct err *err)
{
	int level = log_level_parse(r->args[0]);

	if (level == -1)
		return err_set(err, ERR_PERMANENT, "\"%.32s\" is not a level: error, warn, info or debug",
			       r->args[0]);
	log_set_level((enum log_level)level);
	buf_printf(r->out, "logging %s and above\n", log_level_name((enum log_level)level));
	return 0;
}

static int cmd_open_breaker(struct request *r, struct err *err)
{
	(void)err;
	breaker_hold(&supervisor_scoreboard(r->s)->breaker, "opened by an operator");
	buf_str(r->out, "the breaker is open: the rater is not asked until \"close breaker\"\n");
	return 0;
}

static int cmd_close_breaker(struct request *r, struct err *err)
{
	(void)err;
	supervisor_close_breaker(r->s);
	buf_str(r->out, "the breaker is closed: the rater is asked again\n");
	return 0;
}

/* ---- the table ---- */

static int cmd_help(struct request *r, struct err *err);

/* Rows that begin with the same words stand together, and no row is the beginning of another. */
static const struct command commands[] = {
	{ "show status", "", 0, 0, CMD_READ, cmd_view, &view_status, "the pool at a glance" },
	{ "show workers", "", 0, 0, CMD_READ, cmd_view, &view_workers, "one line for each child" },
	{ "show queue", "", 0, 0, CMD_READ, cmd_view, &view_queue, "what waits, as last counted" },
	{ "show metrics", "", 0, 0, CMD_READ, cmd_metrics, NULL, "all counters, as Prometheus text" },
	{ "show config", "", 0, 0, CMD_READ, cmd_view, &view_config, "every key; secrets are starred" },
	{ "show errors", "", 0, 0, CMD_READ, cmd_view, &view_errors, "the last error of each child" },
	{ "show limits", "", 0, 0, CMD_READ, cmd_view, &view_limits, "breaker, requests and tokens a minute, open calls" },
	{ "show version", "", 0, 0, CMD_READ, cmd_view, &view_version, "version and pid" },
	{ "pause", "", 0, 0, CMD_ADMIN, cmd_pause, NULL, "claim nothing more, finish what is in hand" },
	{ "resume", "", 0, 0, CMD_ADMIN, cmd_resume, NULL, "claim again after a pause" },
	{ "drain", "", 0, 0, CMD_ADMIN, cmd_drain, NULL, "finish what is in hand, then stop" },
	{ "reload", "", 0, 0, CMD_ADMIN, cmd_reload, NULL, "load the configuration again" },
	{ "scale", "N", 1, 1, CMD_ADMIN, cmd_scale, NULL, "run N workers" },
	{ "recycle", "[SLOT]", 0, 1, CMD_ADMIN, cmd_recycle, NULL, "replace one child, or all workers" },
	{ "log", "LEVEL", 1, 1, CMD_ADMIN, cmd_log, NULL, "log error, warn, info or debug, and above" },
	{ "open breaker", "", 0, 0, CMD_ADMIN, cmd_open_breaker, NULL, "give the rater a rest until closed" },
	{ "open the breaker", "", 0, 0, CMD_ADMIN, cmd_open_breaker, NULL, NULL },
	{ "close breaker", "", 0, 0, CMD_ADMIN, cmd_close_breaker, NULL, "ask the rater again, now" },
	{ "close the breaker", "", 0, 0, CMD_ADMIN, cmd_close_breaker, NULL, NULL },
	{ "close it", "", 0, 0, CMD_ADMIN, cmd_close_breaker, NULL, NULL },
	{ "help", "", 0, 0, CMD_READ, cmd_help, NULL, "this list" },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char *usage_of(const struct command *c, char *out, size_t size)
{
	snprintf(out, size, "%s%s%s%s", c->words, c->args[0] ? " " : "", c->args,
		 c->access == CMD_READ ? " [json]" : "");
	return out;
}

void command_help(struct buf *out)
{
	char usage[64];

	for (size_t i = 0; i < COMMANDS; i++)
		if (commands[i].help)
			buf_printf(out, "%-24s%s\n", usage_of(&commands[i], usage, sizeof(usage)),
				   commands[i].help);
}

static int cmd_help(struct request *r, struct err *err)
{
	static const char *const columns[] = { "command", "admin", "help", NULL };
	struct table *t;
	char usage[64];

	(void)err;
	if (!r->json) {
		command_help(r->out);
		return 0;
	}
	t = table_new(columns, false);
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!commands[i].help)
			continue;
		table_row(t);
		table_text(t, usage_of(&commands[i], usage, sizeof(usage)));
		table_bool(t, commands[i].access == CMD_ADMIN);
		table_text(t, commands[i].help);
	}
	table_render(t, true, r->out);
	table_free(t);
	return 0;
}

/* ---- finding a row ---- */

/* Rows that agree in all words looked at so far. */
struct span { size_t first, end; };

struct word { const char *text; size_t len; };	/* len 0: the row has no such word */

static struct word word_at(size_t row, int depth)
{
	const char *p = commands[row].words;

	while (depth-- > 0) {
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	return (struct word){ p, strcspn(p, " ") };
}

static bool word_equal(struct word a, struct word b)
{
	return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

/* What could be said in this place, to tell whoever said something else. */
static void list_words(struct span span, int depth, const char *typed, char *out, size_t size)
{
	struct word last = { "", 0 };
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = span.first; i < span.end && n < size; i++) {
		struct word w = word_at(i, depth);

		if (!commands[i].help || word_equal(w, last) || strncmp(w.text, typed, strlen(typed)) != 0)
			continue;
		n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? ", " : "", (int)w.len, w.text);
		last = w;
	}
}

/* Keeps the rows whose word at this depth begins as typed. Returns how many different words those are. */
static int narrow(struct span *span, int depth, const char *typed)
{
	struct span hits = { 0, 0 };
	int different = 0;

	for (size_t i = span->first; i < span->end; i++) {
		struct word w = word_at(i, depth);

		if (strlen(typed) > w.len || memcmp(w.text, typed, strlen(typed)) != 0)
			continue;
		if (different == 0)
			hits.first = i;
		if (different == 0 || !word_equal(w, word_at(hits.end - 1, depth)))
			different++;
		hits.end = i + 1;
	}
	if (different == 1)
		*span = hits;
	return different;
}

/* The row that words begin with; *used: how many of them name it. NULL and err when none or several do. */
static const struct command *find(char **words, int n, int *used, struct err *err)
{
	struct span span = { 0, COMMANDS };
	char list[256];
	int depth, different;

	for (depth = 0; word_at(span.first, depth).len > 0; depth++) {
		if (depth == n) {
			list_words(span, depth, "", list, sizeof(list));
			err_set(err, ERR_PERMANENT, "%s what? Possible: %s", n ? words[n - 1] : "do", list);
			return NULL;
		}
		different = narrow(&span, depth, words[depth]);
		if (different != 1) {
			list_words(span, depth, different ? words[depth] : "", list, sizeof(list));
			err_set(err, ERR_PERMANENT, different ? "\"%.32s\" could be: %s"
				: "unknown word \"%.32s\"; possible: %s", words[depth], list);
			return NULL;
		}
	}
	*used = depth;
	return &commands[span.first];
}

/* ---- running it ---- */

/* Cuts line, in place, at its blanks. */
static int split(char *line, char **words, struct err *err)
{
	int n = 0;
	char *rest = NULL;

	for (const unsigned char *p = (unsigned char *)line; *p; p++)
		if ((*p < ' ' && *p != '\t') || *p >= 0x7f)
			return err_set(err, ERR_PERMANENT, "the request holds bytes that are no words");
	for (char *w = strtok_r(line, " \t", &rest); w; w = strtok_r(NULL, " \t", &rest)) {
		if (n == WORDS_MAX)
			return err_set(err, ERR_PERMANENT, "the request has more than %d words", WORDS_MAX);
		words[n++] = w;
	}
	return n;
}

static int check(const struct request *r, bool admin, struct err *err)
{
	const struct command *c = r->command;
	char usage[64];

	if (c->access == CMD_ADMIN && !admin)
		return err_set(err, ERR_PERMANENT, "\"%s\" is for root and the user gradingd runs as",
			       c->words);
	if (r->nargs < c->min_args || r->nargs > c->max_args)
		return err_set(err, ERR_PERMANENT, "usage: %s", usage_of(c, usage, sizeof(usage)));
	return 0;
}

int command_run(struct supervisor *s, const char *line, bool admin, struct buf *out, struct err *err)
{
	char copy[CONTROL_LINE_CAP + 1], *words[WORDS_MAX];
	struct request r = { .s = s, .out = out };
	int n, used = 0;

	if (strlen(line) >= sizeof(copy))
		return err_set(err, ERR_PERMANENT, "the request is longer than %d bytes", CONTROL_LINE_CAP);
	snprintf(copy, sizeof(copy), "%s", line);
	n = split(copy, words, err);
	if (n == -1)
		return -1;
	r.command = find(words, n, &used, err);
	if (!r.command)
		return -1;
	r.json = r.command->access == CMD_READ && n > used && strcmp(words[n - 1], "json") == 0;
	r.args = words + used;
	r.nargs = n - used - r.json;
	if (check(&r, admin, err) == -1)
		return -1;
	if (r.command->access == CMD_ADMIN)
		log_info("asked over the control socket: %s%s%s", r.command->words, r.nargs ? " " : "",
			 r.nargs ? r.args[0] : "");
	return r.command->run(&r, err);
}
