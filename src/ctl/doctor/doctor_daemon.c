/* Whether the daemon of this host answers and is at work; gradingctl doctor. */
#include "doctor_daemon.h"

#include <string.h>

#include "base/buf.h"
#include "ctl/ask.h"
#include "lib/json_strict.h"

#define ANSWER_CAP_BYTES (1 << 20)
#define REFUSED_SHOWN 5		/* by name; the number tells of the others */

static const char *text_of(struct json_object *status, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(status, key));

	return text ? text : "?";
}

static void judge(struct doctor_report *r, const char *path, struct json_object *status)
{
	const char *summary = text_of(status, "summary"), *version = text_of(status, "version");
	const char *reason = text_of(status, "breaker_reason");

	if (strcmp(summary, "at work") != 0 && strcmp(reason, "?") != 0)
		doctor_say(r, "daemon", DOCTOR_WARNING,
			   "gradingctl show limits tells when the rater is asked again",
			   "%s (%s): %s", summary, path, reason);
	else if (strcmp(summary, "at work") != 0)
		doctor_say(r, "daemon", DOCTOR_WARNING,
			   "gradingctl show status, show errors and show limits tell more",
			   "%s (%s)", summary, path);
	else if (strcmp(version, VERSION) != 0)
		doctor_say(r, "daemon", DOCTOR_WARNING, "restart the daemon after an update",
			   "at work, but of version %s; this is %s", version, VERSION);
	else
		doctor_say(r, "daemon", DOCTOR_OK, NULL, "at work: %s of %s workers, version %s",
			   text_of(status, "workers_alive"), text_of(status, "workers_wanted"),
			   version);
}

/* What the daemon answers, or NULL and why. */
static struct json_object *ask(struct ctl *ctl, const char *line, struct err *err)
{
	struct json_object *answer = NULL;
	struct buf text;
	const char *why;

	buf_init(&text, ANSWER_CAP_BYTES);
	if (ctl_ask(ctl, line, &text, err) == 0 &&
	    json_strict_parse(buf_text(&text), text.len, &answer, &why) == -1)
		err_set(err, ERR_CONFIG, "what answers at %s sends no JSON: %s", ctl->asked,
			why);
	buf_free(&text);
	return answer;
}

/* Rows that the database will not have changed: whose they are, the daemon knows. */
static void say_refused(struct doctor_report *r, struct ctl *ctl, struct json_object *status)
{
	int64_t n = json_object_get_int64(json_object_object_get(status, "rows_refused"));
	struct err err;
	struct json_object *errors = n > 0 ? ask(ctl, "show errors json", &err) : NULL;
	size_t shown = 0;

	for (size_t i = 0; errors && i < json_object_array_length(errors); i++) {
		struct json_object *row = json_object_array_get_idx(errors, i);

		if (!json_object_object_get(row, "row") || shown++ >= REFUSED_SHOWN)
			continue;
		doctor_say(r, "refused row", DOCTOR_WARNING,
			   "look for a trigger, a constraint or an open transaction of the "
			   "application; other rows are not held up", "%s", text_of(row, "error"));
	}
	if (shown > REFUSED_SHOWN)
		doctor_say(r, "refused rows", DOCTOR_WARNING, "gradingctl show errors names more",
			   "%lld in all", (long long)n);
	json_object_put(errors);
}

/* A full disk is told nowhere else: the log itself cannot tell it. */
static void say_log(struct doctor_report *r, struct json_object *status)
{
	int64_t dropped = json_object_get_int64(json_object_object_get(status,
								       "log_lines_dropped"));
	struct json_object *error = json_object_object_get(status, "log_error");

	if (error)
		doctor_say(r, "log", DOCTOR_ERROR,
			   "make room where log.to is, have it read, or start a syslogd",
			   "the daemon cannot write its log: %s", json_object_get_string(error));
	else if (dropped > 0)
		doctor_say(r, "log", DOCTOR_WARNING, "gradingctl show errors tells why",
			   "lines of the daemon's log that were dropped since its start: %lld",
			   (long long)dropped);
}

/* Who sends a HUP is told by the log alone. */
static void say_reload(struct doctor_report *r, struct json_object *status)
{
	struct json_object *error = json_object_object_get(status, "reload_error");

	if (error)
		doctor_say(r, "reload", DOCTOR_WARNING,
			   "correct the file, gradingd -t checks it; then gradingctl reload",
			   "the daemon still runs with its old configuration, since a reload was "
			   "refused: %s", json_object_get_string(error));
}

/* With a database of one's own (-d) this may well be a host that runs no daemon. */
void doctor_daemon(struct ctl *ctl, struct doctor_report *r)
{
	bool wanted = !ctl->conninfo || ctl->socket_path || ctl->config_path;
	struct json_object *status;
	struct err err;

	status = ask(ctl, "show status json", &err);
	if (status) {
		judge(r, ctl->asked, status);
		say_refused(r, ctl, status);
		say_log(r, status);
		say_reload(r, status);
	} else if (ctl->asked[0] && err.kind == ERR_CONFIG) {
		doctor_say(r, "daemon", DOCTOR_ERROR, "is it a gradingd?", "%s", err.text);
	} else {
		doctor_say(r, "daemon", wanted ? DOCTOR_ERROR : DOCTOR_WARNING,
			   "start gradingd, or name its socket with -s", "%s", err.text);
	}
	json_object_put(status);
}
