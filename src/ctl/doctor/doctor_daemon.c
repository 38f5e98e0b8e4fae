/* Whether the daemon of this host answers and is at work; gradingctl doctor. */
#include "doctor_daemon.h"

#include <string.h>

#include "base/buf.h"
#include "ctl/control_client.h"
#include "lib/json_strict.h"

#define ANSWER_CAP_BYTES (1 << 20)

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

/* With a database of one's own (-d) this may well be a host that runs no daemon. */
void doctor_daemon(struct ctl *ctl, struct doctor_report *r)
{
	bool wanted = !ctl->conninfo || ctl->socket_path || ctl->config_path;
	struct json_object *status = NULL;
	struct buf answer;
	const char *why, *path;
	struct err err;

	buf_init(&answer, ANSWER_CAP_BYTES);
	path = ctl_socket_path(ctl, &err);
	if (!path || control_client_ask(path, "show status json", &answer, &err) == -1)
		doctor_say(r, "daemon", wanted ? DOCTOR_ERROR : DOCTOR_WARNING,
			   "start gradingd, or name its socket with -s", "%s", err.text);
	else if (json_strict_parse(buf_text(&answer), answer.len, &status, &why) == -1)
		doctor_say(r, "daemon", DOCTOR_ERROR, "is it a gradingd?",
			   "what answers at %s sends no JSON: %s", path, why);
	else
		judge(r, path, status);
	json_object_put(status);
	buf_free(&answer);
}
