/* gradingctl doctor: the command. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "ctl/cmd.h"

cmd_fn cmd_doctor;

#endif
