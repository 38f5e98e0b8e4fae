/* The terminal, or what stands in for it: styles, width, text made harmless, wrapping, bars. */
#ifndef TERM_H
#define TERM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

enum term_style { TERM_PLAIN, TERM_BOLD, TERM_DIM, TERM_RED, TERM_GREEN, TERM_YELLOW, TERM_CYAN };

struct term {
	FILE *file;		/* the caller's */
	bool is_tty;
	bool colour;		/* a terminal that knows colours, whose user did not set NO_COLOR */
	bool unicode;		/* block characters may be used */
	int width;		/* columns; 0: endless, because it is no terminal */
	int64_t drawn_ms;	/* when term_live() last drew, by now_ms() */
	bool bar_shown;		/* the line of term_live() stands there */
};

/* Finds out what file can do; sets the process's LC_CTYPE to that of its environment. */
void term_open(struct term *t, FILE *file);

/* The sequence that switches to a style, "" where there is no colour. TERM_PLAIN ends any other. */
const char *term_style(const struct term *t, enum term_style style);

/* Appends text with control characters as \n or \x1b, and bytes that are not UTF-8 as U+FFFD. */
void term_escape(struct buf *out, const char *text);

/* Appends JSON with the control characters that JSON lets pass (DEL, C1) as \u escapes. */
void term_json(struct buf *out, const char *json);

/*
 * Appends text, escaped and broken at blanks into lines of the terminal's width, of which all but
 * the first begin with indent blanks. The cursor stands at column indent when it begins.
 */
void term_wrap(const struct term *t, struct buf *out, const char *text, int indent);

/*
 * Prints text of several lines. On a terminal, those that are wider are broken at blanks, and what
 * follows is indented.
 */
void term_print(const struct term *t, const char *text);

/* "s" for any number but 1. */
const char *term_plural(int64_t n);

/* Appends a bar of width columns, filled by fraction (0 to 1). */
void term_bar(const struct term *t, struct buf *out, double fraction, int width);

/*
 * One line that is drawn again and again, at most ten times a second (force: now).
 * term_live_clear() takes it away, for other output or at the end. Both do nothing where there is
 * no terminal.
 */
void term_live(struct term *t, double fraction, const char *text, bool force);
void term_live_clear(struct term *t);

#endif
