/*
 * gradingctl doctor: the order in which things are looked at. It changes nothing and has no line
 * rated; each part stays within its own bound of time, whatever the other side does.
 */
#include "ctl/doctor/doctor.h"

#include "config/config_load.h"
#include "doctor_daemon.h"
#include "doctor_db.h"
#include "doctor_rater.h"
#include "doctor_report.h"

static void say_config(const struct ctl *ctl, struct doctor_report *r)
{
	if (ctl->config)
		doctor_say(r, "configuration", DOCTOR_OK, NULL, "%s", ctl->config->path);
	else
		doctor_say(r, "configuration", ctl->conninfo ? DOCTOR_OK : DOCTOR_WARNING,
			   ctl->conninfo ? NULL : "name it with -c, or a database with -d",
			   "there is no %s", CONFIG_DEFAULT_PATH);
}

/* The daemon last: to ask for its socket's path may bring a configuration of defaults about. */
static void check_all(struct ctl *ctl, struct doctor_report *r)
{
	struct err err;
	bool loaded = ctl_load_config(ctl, &err) == 0;

	if (loaded)
		say_config(ctl, r);
	else
		doctor_say(r, "configuration", DOCTOR_ERROR, "gradingd -t checks it again", "%s",
			   err.text);
	if (loaded || ctl->conninfo)
		doctor_database(ctl, ctl->conninfo ? NULL : ctl->config, r);
	if (loaded && ctl->config)
		doctor_rater(ctl->config, r);
	doctor_daemon(ctl, r);
}

int cmd_doctor(struct ctl *ctl, char **args, int n)
{
	struct doctor_report report;

	(void)args, (void)n;
	doctor_report_begin(&report, &ctl->out, ctl->option[CTL_JSON]);
	check_all(ctl, &report);
	doctor_report_end(&report);
	return report.worst == DOCTOR_ERROR ? EXIT_FAILED : EXIT_STOPPED;
}
