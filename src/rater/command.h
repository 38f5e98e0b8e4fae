/*
 * The rater that asks a program: one JSON request a line on its stdin, one JSON reply a line on its
 * stdout.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include "rater/rater.h"

extern const struct rater_ops rater_command_ops;

#endif
