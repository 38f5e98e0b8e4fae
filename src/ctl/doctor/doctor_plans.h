/*
 * gradingctl doctor: the daemon's statements, whether this role may run them, and how the server
 * would.
 */
#ifndef DOCTOR_PLANS_H
#define DOCTOR_PLANS_H

#include "doctor_ask.h"
#include "doctor_report.h"

void doctor_plans(struct questions *q, struct doctor_report *r);

#endif
