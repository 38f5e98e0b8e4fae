/* gradingctl doctor: the rater and its fallback. */
#ifndef DOCTOR_RATER_H
#define DOCTOR_RATER_H

#include "config/config.h"
#include "doctor_report.h"

/*
 * Whether they can be reached, within seconds. Reads the API key into config, where it can. Has no
 * line rated.
 */
void doctor_rater(struct config *config, struct doctor_report *r);

#endif
