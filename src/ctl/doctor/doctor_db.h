/* gradingctl doctor: the database. */
#ifndef DOCTOR_DB_H
#define DOCTOR_DB_H

#include "ctl/ctl.h"
#include "doctor_report.h"

/*
 * Connects and looks at all there is to look at, within about half a minute whatever the other side
 * does. config is what the daemon goes by; NULL: there is none.
 */
void doctor_database(struct ctl *ctl, const struct config *config, struct doctor_report *r);

#endif
