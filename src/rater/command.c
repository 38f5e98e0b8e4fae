/*
 * The external rater: a program kept running, asked one question at a time, a line each way.
 * Workers only. It decides when the program is started, given up and started again, and whose fault
 * a failed question was; it never asks one twice unless the program had not begun to read it.
 */
#include "command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "rater/question.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/trouble.h"
#include "program.h"

#define REQUEST_CAP_BYTES (16u << 20)
#define REQUEST_KEEP_BYTES (64u << 10)
#define REPLY_CAP_BYTES (1u << 20)
#define SHOWN_BYTES 80			/* of an answer that is not JSON */
#define NEWLINE_BYTES 1			/* of a request: a parser of JSON may leave it unread */
#define HELD_MS 2000			/* how long a job may wait for those claimed before it */

/* The first restart comes at once, then they wait, with up to half of it taken off by chance. */
#define RESTART_FIRST_MS 250
#define RESTART_MAX_MS 5000
#define RESTART_ASKED_MS 1000		/* since its last start, when there is something to ask */
#define GOOD_LIFE_MS 60000		/* so long alive, and earlier failures are forgotten */

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* One ask of ours; lives in its job's arena. */
struct entry {
	TAILQ_ENTRY(entry) link;	/* in command->waiting, unless it is the one being asked */
	struct ask *ask;
};

struct command {
	struct rater *rater;
	char **argv, **env;		/* NULL-terminated; argv's strings are the config's */
	char timeout[32];		/* in words */
	struct buf request;
	TAILQ_HEAD(, entry) waiting;
	struct loop_timer restart;
	bool keep_running;		/* also while nothing is asked */
	bool stopping;

	/* The program that runs, if one does. */
	struct program *program;
	int64_t started_ms;
	bool answered;			/* at least once */
	char given_up[200];		/* why it was killed; "" when it was not */
	struct entry *asked;
	int64_t asked_ms;
	struct loop_timer deadline, next_question;

	/* What its predecessors did. */
	unsigned failures;		/* ends in a row without an answer between */
	char suspect[UUID_SIZE];	/* the job over which it crashed; "" since an answer */
	bool broken;			/* it has crashed over two different jobs since */
	int64_t latency_ms;		/* moving average */
};

static const char *path_of(const struct command *c)
{
	return c->argv[0];
}

/* ---- answers ---- */

static void answer(struct command *c, struct entry *e)
{
	rater_done(c->rater, e->ask);
}

static void refuse(struct command *c, struct entry *e, enum err_kind kind, const char *why)
{
	ask_fail(e->ask, kind, "%s", why);
	e->ask->silent = true;
	answer(c, e);
}

static struct entry *take_asked(struct command *c)
{
	struct entry *e = c->asked;

	c->asked = NULL;
	loop_timer_stop(c->rater->loop, &c->deadline);
	if (e) {
		e->ask->used.calls = 1;
		e->ask->used.latency_ms = now_ms() - c->asked_ms;
	}
	return e;
}

/* As many jobs as are answered within HELD_MS, by the slower of the last answer and the average. */
static void set_capacity(struct command *c, int64_t latency_ms)
{
	int64_t limit = c->rater->config->pool.in_flight, n;

	c->latency_ms += (latency_ms - c->latency_ms) / 4;
	n = HELD_MS / (c->latency_ms > latency_ms ? c->latency_ms + 1 : latency_ms + 1);
	c->rater->capacity = (int)(n < 1 ? 1 : n > limit ? limit : n);
}

static void give_up(struct command *c, const char *why)
{
	if (c->given_up[0])
		return;
	snprintf(c->given_up, sizeof(c->given_up), "%s", why);
	program_kill(c->program);
}

/* Says what was wrong with an answer: mostly it is a line that was meant for standard error. */
static void give_up_answer(struct command *c, const struct ask *ask, const char *line, size_t len)
{
	char shown[SHOWN_BYTES + 1], why[sizeof(c->given_up)];
	size_t n = utf8_cut(line, len, SHOWN_BYTES);

	if (ask->verdicts[0].outcome != OUTCOME_NOT_JSON) {
		snprintf(why, sizeof(why), "answered, but %s,",
			 outcome_words(ask->verdicts[0].outcome));
		give_up(c, ask->used.stray > 0 ? "rated lines that nobody asked about" : why);
		return;
	}
	memcpy(shown, line, n);
	shown[utf8_clean(shown, n, UTF8_BLANK_CONTROLS)] = '\0';
	snprintf(why, sizeof(why), "answered \"%s%s\", which is not JSON,", shown,
		 n < len ? "..." : "");
	give_up(c, why);
}

/*
 * Whether the reply was for another question, or none: after it, nothing that the program says can
 * be told apart from an answer to what was asked before.
 */
static bool lost_thread(const struct ask *ask)
{
	enum outcome first = ask->nlines > 0 ? ask->verdicts[0].outcome : OUTCOME_RATED;

	return ask->used.stray > 0 || first == OUTCOME_NOT_JSON || first == OUTCOME_NOT_SCHEMA ||
	       first == OUTCOME_EMPTY;
}

static void ask_next(void *arg);

/*
 * The next question waits for the turn's end: what was read may hold more than the answer, and a
 * second line must not pass for the answer to a question that the program has not seen.
 */
static void on_line(void *arg, const char *line, size_t len)
{
	struct command *c = arg;
	struct entry *e;
	struct ask *ask;

	if (c->given_up[0] || c->stopping)
		return;
	if (!c->asked) {
		give_up(c, "said a line that nobody asked for");
		return;
	}
	/*
	 * A second answer to the question before. This tells most of them; not those of a program
	 * that has read the next question already.
	 */
	if (program_unread(c->program) > NEWLINE_BYTES) {
		give_up(c, "answered a question that it had not read");
		return;
	}
	e = take_asked(c);
	ask = e->ask;
	breadcrumb_job(ask->job->id, ask->job->claim);
	ask_read_words(ask, c->rater->config, line, len);
	breadcrumb_end();
	set_capacity(c, ask->used.latency_ms);
	if (lost_thread(ask)) {
		give_up_answer(c, ask, line, len);
	} else {
		c->answered = true;
		c->failures = 0;
		c->suspect[0] = '\0';
		c->broken = false;
	}
	answer(c, e);
	loop_timer_set(c->rater->loop, &c->next_question, 0, ask_next, c);
}

static void on_overlong(void *arg)
{
	struct command *c = arg;
	struct entry *e = c->given_up[0] ? NULL : take_asked(c);

	if (e) {
		verdict_all(e->ask->verdicts, e->ask->nlines, OUTCOME_OVERSIZED);
		answer(c, e);
	}
	give_up(c, "said a line that is larger than 1 MiB");
}

static void on_deadline(void *arg)
{
	struct command *c = arg;
	struct entry *e = take_asked(c);
	char why[300];

	snprintf(why, sizeof(why), "the command %.200s did not answer within %s", path_of(c),
		 c->timeout);
	refuse(c, e, ERR_UNCLEAR, why);
	c->rater->capacity = 1;
	give_up(c, "did not answer in time");
}

/* ---- the end of a program ---- */

/*
 * A question that it had begun to read when it died may be what killed it, and costs its job an
 * attempt. When it dies over one job after the other without an answer between, it is the program
 * that does not work.
 */
static enum err_kind blame(struct command *c, const struct ask *ask)
{
	if (c->suspect[0] && strcmp(c->suspect, ask->job->id) != 0)
		c->broken = true;
	snprintf(c->suspect, sizeof(c->suspect), "%s", ask->job->id);
	return c->broken ? ERR_UNCLEAR : ERR_RETRY;
}

/* What was not read was not asked. A program that never answered anything is not there at all. */
static void settle_asked(struct command *c, const struct program_end *end, const char *why)
{
	struct entry *e = take_asked(c), *next;

	if (e && end->took) {
		refuse(c, e, blame(c, e->ask), why);
		return;
	}
	if (e && c->given_up[0] && !c->answered)
		refuse(c, e, ERR_UNAVAILABLE, why);
	else if (e)
		TAILQ_INSERT_HEAD(&c->waiting, e, link);
	if (c->answered || c->given_up[0])
		return;
	for (e = TAILQ_FIRST(&c->waiting); e; e = next) {
		next = TAILQ_NEXT(e, link);
		TAILQ_REMOVE(&c->waiting, e, link);
		refuse(c, e, ERR_UNAVAILABLE, why);
	}
}

static int64_t restart_delay_ms(unsigned failures)
{
	int64_t delay = RESTART_FIRST_MS;

	if (failures <= 1)
		return 0;
	for (unsigned i = 2; i < failures && delay < RESTART_MAX_MS; i++)
		delay *= 2;
	if (delay > RESTART_MAX_MS)
		delay = RESTART_MAX_MS;
	return delay - random() % (delay / 2);
}

static void on_restart(void *arg);

/* Says why it ended and when it starts again. To end in order after an answer is its good right. */
static void restart_later(struct command *c, const char *why, bool orderly)
{
	int64_t delay;
	char when[32];

	if (now_ms() - c->started_ms >= GOOD_LIFE_MS)
		c->failures = 0;
	delay = restart_delay_ms(++c->failures);
	if (c->stopping)
		return;
	if (orderly && c->answered) {
		log_debug("%s", why);
	} else {
		trouble_say(why);
		log_warn("%s; starting it again %s%s", why, delay ? "in " : "at once",
			 delay ? duration_format(delay, when, sizeof(when)) : "");
	}
	if (c->keep_running)
		loop_timer_set(c->rater->loop, &c->restart, delay, on_restart, c);
}

static void on_ended(void *arg, const struct program_end *end)
{
	struct command *c = arg;
	char why[500];

	if (c->given_up[0])
		snprintf(why, sizeof(why), "the command %.200s (pid %d) %s and was killed",
			 path_of(c), (int)end->pid, c->given_up);
	else
		snprintf(why, sizeof(why), "the command %.200s (pid %d) %s", path_of(c),
			 (int)end->pid, end->how);
	program_free(c->program);
	c->program = NULL;
	settle_asked(c, end, why);
	restart_later(c, why, end->orderly && !c->given_up[0]);
}

/* ---- starting and asking ---- */

static void start_program(struct command *c)
{
	static const struct program_events events = { on_line, on_overlong, on_ended };
	struct rater *rater = c->rater;
	struct err err;

	loop_timer_stop(rater->loop, &c->restart);
	c->answered = false;
	c->given_up[0] = '\0';
	c->started_ms = now_ms();
	c->program = program_start(rater->loop, c->argv, c->env, REPLY_CAP_BYTES, &events, c, &err);
	if (!c->program) {
		settle_asked(c, &(struct program_end){ .took = false }, err.text);
		restart_later(c, err.text, false);
	}
}

static void on_restart(void *arg)
{
	struct command *c = arg;

	start_program(c);
	ask_next(c);
}

static int write_request(struct command *c, struct ask *ask)
{
	if (c->request.size > REQUEST_KEEP_BYTES)
		buf_free(&c->request);
	buf_reset(&c->request);
	question_write(&c->request, c->rater->config, ask);
	buf_char(&c->request, '\n');
	if (buf_ok(&c->request))
		return 0;
	return ask_fail(ask, ERR_PERMANENT,
			"the question is larger than %u MiB; lower rater.lines_per_call "
			"or rater.context_lines",
			REQUEST_CAP_BYTES >> 20);
}

/* False when it needs no answer any more. */
static bool ask_program(struct command *c, struct entry *e)
{
	int64_t now = now_ms(), left_ms = e->ask->deadline_ms - now,
		timeout_ms = c->rater->config->command.timeout_ms;

	if (left_ms <= 0)
		ask_fail(e->ask, ERR_UNCLEAR,
			 "the job's deadline passed before the command was asked");
	if (left_ms <= 0 || write_request(c, e->ask) == -1) {
		answer(c, e);
		return false;
	}
	c->asked = e;
	c->asked_ms = now;
	loop_timer_set(c->rater->loop, &c->deadline, left_ms < timeout_ms ? left_ms : timeout_ms,
		       on_deadline, c);
	program_send(c->program, c->request.data, c->request.len);
	return true;
}

/* Starts what has to be started; asks the next question when the program is free. */
static void ask_next(void *arg)
{
	struct command *c = arg;
	int64_t since = now_ms() - c->started_ms;

	if (TAILQ_EMPTY(&c->waiting) || c->stopping)
		return;
	c->keep_running = true;
	if (!c->program && (c->failures <= 1 || since >= RESTART_ASKED_MS))
		start_program(c);
	else if (!c->program && c->restart.at_ms - now_ms() > RESTART_ASKED_MS - since)
		loop_timer_set(c->rater->loop, &c->restart, RESTART_ASKED_MS - since, on_restart,
			       c);
	while (c->program && !c->asked && !c->given_up[0] && !TAILQ_EMPTY(&c->waiting)) {
		struct entry *e = TAILQ_FIRST(&c->waiting);

		if (!program_is_quiet(c->program)) {
			give_up(c, "said something that nobody asked for");
			return;
		}
		TAILQ_REMOVE(&c->waiting, e, link);
		if (ask_program(c, e))
			return;
	}
}

/* ---- the backend ---- */

static void command_start(struct rater *rater, struct ask *ask)
{
	struct command *c = rater->data;
	struct entry *e = arena_alloc(&ask->job->arena, sizeof(*e));

	ask->used.model = rater->model;
	ask->rater_data = e;
	e->ask = ask;
	TAILQ_INSERT_TAIL(&c->waiting, e, link);
	ask_next(c);
}

/* The answer of a question that was withdrawn must not be taken for that of the next. */
static void command_cancel(struct rater *rater, struct ask *ask)
{
	struct command *c = rater->data;
	struct entry *e = ask->rater_data;

	if (c->asked != e) {
		TAILQ_REMOVE(&c->waiting, e, link);
		return;
	}
	take_asked(c);
	give_up(c, "had not answered when the answer was no longer wanted,");
}

/* Nothing secret is in these; what else the program needs can be set with env(1). */
static char **make_environment(const struct config *config)
{
	static const char *const names[] = {
		"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE",
		"TZ", "TMPDIR",
	};
	size_t n = 0;
	char **env = xcalloc(sizeof(names) / sizeof(names[0]) + 1, sizeof(*env));

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);
		struct buf entry;

		if (!value && i == 0)
			value = DEFAULT_PATH;
		if (!value || strcmp(names[i], config->openai.api_key_env) == 0)
			continue;
		buf_init(&entry, SIZE_MAX - 1);
		buf_printf(&entry, "%s=%s", names[i], value);
		env[n++] = xstrdup(buf_text(&entry));
		buf_free(&entry);
	}
	return env;
}

static void name_model(struct rater *rater)
{
	const char *path = rater->config->command.argv.items[0], *slash = strrchr(path, '/');

	snprintf(rater->model, sizeof(rater->model), "%s", slash ? slash + 1 : path);
}

/* What it is told to do is its command line. */
static void set_hashes(struct rater *rater)
{
	const struct string_list *argv = &rater->config->command.argv;
	struct buf line;

	buf_init(&line, REQUEST_CAP_BYTES);
	for (size_t i = 0; i < argv->n; i++)
		buf_printf(&line, "%s\n", argv->items[i]);
	rater_set_hashes(rater, buf_text(&line), "");
	rater_set_session(rater, buf_text(&line), "", (const char *const *)argv->items, argv->n);
	buf_free(&line);
}

/*
 * The program starts with the first turn of the loop, so that `gradingd -t` does not start it; a
 * fallback only when it is needed. That it cannot be started now is no reason to refuse the
 * configuration: it may be there tomorrow.
 */
static int command_open(struct rater *rater, struct err *err)
{
	const struct string_list *argv = &rater->config->command.argv;
	struct command *c;

	if (argv->n == 0)
		return err_set(err, ERR_CONFIG,
			       "command.argv is empty; it must name the program that rates");
	c = rater->data = xcalloc(1, sizeof(*c));
	c->rater = rater;
	c->argv = xcalloc(argv->n + 1, sizeof(*c->argv));
	memcpy(c->argv, argv->items, argv->n * sizeof(*c->argv));
	c->env = make_environment(rater->config);
	duration_format(rater->config->command.timeout_ms, c->timeout, sizeof(c->timeout));
	buf_init(&c->request, REQUEST_CAP_BYTES);
	TAILQ_INIT(&c->waiting);
	rater->capacity = 1;
	name_model(rater);
	set_hashes(rater);
	rater_set_fingerprint(rater, (const char *const *)argv->items, argv->n);
	c->keep_running = !rater->fallback;
	if (c->keep_running && rater->loop)
		loop_timer_set(rater->loop, &c->restart, 0, on_restart, c);
	return 0;
}

static int command_check(const struct rater *rater, struct err *err)
{
	return program_check(rater->config->command.argv.items[0], err);
}

static bool command_stop(struct rater *rater, bool at_once)
{
	struct command *c = rater->data;

	if (c->program && (!c->stopping || at_once))
		program_stop(c->program, at_once);
	c->stopping = true;
	loop_timer_stop(rater->loop, &c->restart);
	return !c->program;
}

static void command_close(struct rater *rater)
{
	struct command *c = rater->data;

	if (rater->loop) {
		loop_timer_stop(rater->loop, &c->restart);
		loop_timer_stop(rater->loop, &c->deadline);
		loop_timer_stop(rater->loop, &c->next_question);
	}
	program_free(c->program);
	for (size_t i = 0; c->env[i]; i++)
		free(c->env[i]);
	free(c->env);
	free(c->argv);
	buf_free(&c->request);
	free(c);
	rater->data = NULL;
}

const struct rater_ops rater_command_ops = {
	.name = "command",
	.advice = "try the program of command.argv by hand",
	.open = command_open,
	.start = command_start,
	.cancel = command_cancel,
	.close = command_close,
	.check = command_check,
	.stop = command_stop,
};
