/*
 * The options of gradingctl: the table of those with names of their own, reading them, listing
 * them.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

#include "ctl/ctl.h"

#define OPTIONS_HELP_WIDTH 42	/* columns before an option's or a command's help */

/* A set of options, a bit for each. */
#define OPTION_BIT(option) (1u << (option))

struct options {
	unsigned given;		/* set of enum ctl_option */
	bool help, version;
	bool commands;		/* --commands, for the check of the manual page; no help names it */
	int words;		/* the index in argv of the first word that is no option */
};

/*
 * Reads the command line into *ctl, which keeps pointers into argv, and moves argv's words behind
 * its options. A conninfo is copied, for free(), and starred in argv, out of sight of ps(1). What
 * is wrong ends the process, with a complaint.
 */
struct options options_parse(struct ctl *ctl, int argc, char **argv);

/*
 * Reads the value of an option whose values are a number in one command and something else in
 * another. Returns 0, or -1 and has complained.
 */
int options_number(enum ctl_option option, const char *text, int64_t min, int64_t max,
		   int64_t *number);

/* As on the command line, without its dashes. */
const char *options_name(enum ctl_option option);

/* A line each, for the help. */
void options_print(void);

#endif
