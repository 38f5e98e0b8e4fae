/* gradingctl doctor: the daemon of this host. */
#ifndef DOCTOR_DAEMON_H
#define DOCTOR_DAEMON_H

#include "ctl/ctl.h"
#include "doctor_report.h"

/* Asks it over the control socket how it is. May bring ctl->config, one of defaults, about. */
void doctor_daemon(struct ctl *ctl, struct doctor_report *r);

#endif
