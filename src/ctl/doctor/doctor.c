/*
 * gradingctl doctor: the order of the checks, the daemon, and how findings are told. It changes nothing and has
 * no line rated.
 */
#include "doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "config/config_load.h"
#include "ctl/ctl_socket.h"
#include "lib/json_strict.h"

#define ANSWER_CAP_BYTES (1 << 20)
#define REPORT_CAP_BYTES (1 << 20)
#define TEXT_CAP_BYTES 2048
#define STATE_WIDTH 9
#define WHAT_WIDTH 15

static const struct { const char *word; enum term_style style; } states[] = {
	[DOCTOR_OK] = { "ok", TERM_GREEN },
	[DOCTOR_WARNING] = { "warning", TERM_YELLOW },
	[DOCTOR_ERROR] = { "error", TERM_RED },
};

/* ---- telling ---- */

static void add_json(struct doctor *d, const char *what, enum doctor_state state, const char *found,
		     const char *advice)
{
	buf_str(d->json, d->json->len ? ", {\"check\": " : "{\"check\": ");
	buf_json(d->json, what);
	buf_printf(d->json, ", \"state\": \"%s\", \"found\": ", states[state].word);
	buf_json(d->json, found);
	buf_str(d->json, ", \"advice\": ");
	if (advice)
		buf_json(d->json, advice);
	else
		buf_str(d->json, "null");
	buf_char(d->json, '}');
}

static void print_line(const struct term *out, const char *what, enum doctor_state state, const char *found,
		       const char *advice)
{
	struct buf line;

	buf_init(&line, REPORT_CAP_BYTES);
	buf_printf(&line, "%s%-*s%s%-*s", term_style(out, states[state].style), STATE_WIDTH, states[state].word,
		   term_style(out, TERM_PLAIN), WHAT_WIDTH, what);
	term_wrap(out, &line, found, STATE_WIDTH + WHAT_WIDTH);
	if (advice) {
		buf_printf(&line, "\n%*s", STATE_WIDTH + WHAT_WIDTH, "-> ");
		term_wrap(out, &line, advice, STATE_WIDTH + WHAT_WIDTH);
	}
	puts(buf_text(&line));
	fflush(stdout);		/* what follows may take seconds */
	buf_free(&line);
}

void doctor_say(struct doctor *d, const char *what, enum doctor_state state, const char *advice,
		const char *fmt, ...)
{
	char found[TEXT_CAP_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(found, sizeof(found), fmt, ap);
	va_end(ap);
	if (state > d->worst)
		d->worst = state;
	if (advice && !advice[0])
		advice = NULL;
	if (d->json)
		add_json(d, what, state, found, advice);
	else
		print_line(&d->ctl->out, what, state, found, advice);
}

/* ---- the daemon ---- */

static const char *text_of(struct json_object *status, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(status, key));

	return text ? text : "?";
}

static void judge_daemon(struct doctor *d, const char *path, struct json_object *status)
{
	const char *summary = text_of(status, "summary"), *version = text_of(status, "version");
	const char *reason = text_of(status, "breaker_reason");

	if (strcmp(summary, "at work") != 0 && strcmp(reason, "?") != 0)
		doctor_say(d, "daemon", DOCTOR_WARNING, "gradingctl show limits tells when the rater is asked again",
			   "%s (%s): %s", summary, path, reason);
	else if (strcmp(summary, "at work") != 0)
		doctor_say(d, "daemon", DOCTOR_WARNING, "gradingctl show status, show errors and show limits tell more",
			   "%s (%s)", summary, path);
	else if (strcmp(version, VERSION) != 0)
		doctor_say(d, "daemon", DOCTOR_WARNING, "restart the daemon after an update",
			   "at work, but of version %s; this is %s", version, VERSION);
	else
		doctor_say(d, "daemon", DOCTOR_OK, NULL, "at work: %s of %s workers, version %s",
			   text_of(status, "workers_alive"), text_of(status, "workers_wanted"), version);
}

/* With a database of one's own (-d) this may well be a host that runs no daemon. */
static void check_daemon(struct doctor *d)
{
	bool wanted = !d->ctl->conninfo || d->ctl->socket_path || d->ctl->config_path;
	struct json_object *status = NULL;
	struct buf answer;
	const char *why, *path;
	struct err err;

	buf_init(&answer, ANSWER_CAP_BYTES);
	path = ctl_socket_path(d->ctl, &err);
	if (!path || ctl_socket_ask(path, "show status json", &answer, &err) == -1)
		doctor_say(d, "daemon", wanted ? DOCTOR_ERROR : DOCTOR_WARNING,
			   "start gradingd, or name its socket with -s", "%s", err.text);
	else if (json_strict_parse(buf_text(&answer), answer.len, &status, &why) == -1)
		doctor_say(d, "daemon", DOCTOR_ERROR, "is it a gradingd?", "what answers at %s sends no JSON: %s",
			   path, why);
	else
		judge_daemon(d, path, status);
	json_object_put(status);
	buf_free(&answer);
}

/* ---- all of it ---- */

/* The daemon last: to ask for its socket's path may bring a configuration of defaults about. */
static void check_all(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	struct err err;
	bool loaded = ctl_load_config(ctl, &err) == 0;

	if (!loaded)
		doctor_say(d, "configuration", DOCTOR_ERROR, "gradingd -t checks it again", "%s", err.text);
	else if (!ctl->config)
		doctor_say(d, "configuration", ctl->conninfo ? DOCTOR_OK : DOCTOR_WARNING,
			   ctl->conninfo ? NULL : "name it with -c, or a database with -d",
			   "there is no %s", CONFIG_DEFAULT_PATH);
	else
		doctor_say(d, "configuration", DOCTOR_OK, NULL, "%s", ctl->config->path);
	if (loaded || ctl->conninfo)
		doctor_database(d, ctl->conninfo ? NULL : ctl->config);
	if (loaded && ctl->config)
		doctor_rater(d, ctl->config);
	if (loaded || ctl->socket_path)
		check_daemon(d);
}

int ctl_doctor(struct ctl *ctl, char **args, int n)
{
	struct doctor d = { .ctl = ctl };
	struct buf json;

	(void)args, (void)n;
	buf_init(&json, REPORT_CAP_BYTES);
	d.json = ctl->option[CTL_JSON] ? &json : NULL;
	check_all(&d);
	if (d.json)
		printf("{\"state\": \"%s\", \"checks\": [%s]}\n", states[d.worst].word, buf_text(&json));
	buf_free(&json);
	return d.worst == DOCTOR_ERROR ? EXIT_FAILED : EXIT_STOPPED;
}
