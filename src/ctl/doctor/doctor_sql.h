/* The checks of gradingctl doctor that are one statement each. */
#ifndef DOCTOR_SQL_H
#define DOCTOR_SQL_H

#include <stdbool.h>
#include <stddef.h>

struct doctor_check {
	const char *what;
	const char *sql;	/* rows of (state, found, advice); no row: all is well */
	const char *ok;		/* what to say when there is no row */
	const char *advice;	/* what to do when the statement fails; NULL: nothing is known */
	bool migrations;	/* $1 and $2 are names and texts of the migrations, as text[] */
};

/* The first one tells whether there is a server that will do. */
extern const struct doctor_check doctor_checks[];
extern const size_t doctor_checks_n;

#endif
