/*
 * The findings of gradingctl doctor: as lines for people, each as soon as it is found, or as one
 * JSON object.
 */
#include "doctor_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPORT_CAP_BYTES (1 << 20)
#define TEXT_CAP_BYTES 2048
#define STATE_WIDTH 9
#define WHAT_WIDTH 15

static const struct { const char *word; enum term_style style; } states[] = {
	[DOCTOR_OK] = { "ok", TERM_GREEN },
	[DOCTOR_WARNING] = { "warning", TERM_YELLOW },
	[DOCTOR_ERROR] = { "error", TERM_RED },
};
#define STATES (sizeof(states) / sizeof(states[0]))

void doctor_report_begin(struct doctor_report *r, const struct term *out, bool as_json)
{
	*r = (struct doctor_report){ .out = out, .as_json = as_json, .worst = DOCTOR_OK };
	buf_init(&r->json, REPORT_CAP_BYTES);
}

void doctor_report_end(struct doctor_report *r)
{
	if (r->as_json)
		printf("{\"state\": \"%s\", \"checks\": [%s]}\n", states[r->worst].word,
		       buf_text(&r->json));
	buf_free(&r->json);
}

static void add_json(struct buf *json, const char *what, enum doctor_state state, const char *found,
		     const char *advice)
{
	buf_str(json, json->len ? ", {\"check\": " : "{\"check\": ");
	buf_json(json, what);
	buf_printf(json, ", \"state\": \"%s\", \"found\": ", states[state].word);
	buf_json(json, found);
	buf_str(json, ", \"advice\": ");
	if (advice)
		buf_json(json, advice);
	else
		buf_str(json, "null");
	buf_char(json, '}');
}

static void print_line(const struct term *out, const char *what, enum doctor_state state,
		       const char *found, const char *advice)
{
	struct buf line;

	buf_init(&line, REPORT_CAP_BYTES);
	buf_printf(&line, "%s%-*s%s%-*s", term_style(out, states[state].style), STATE_WIDTH,
		   states[state].word, term_style(out, TERM_PLAIN), WHAT_WIDTH, what);
	term_wrap(out, &line, found, STATE_WIDTH + WHAT_WIDTH);
	if (advice) {
		buf_printf(&line, "\n%*s", STATE_WIDTH + WHAT_WIDTH, "-> ");
		term_wrap(out, &line, advice, STATE_WIDTH + WHAT_WIDTH);
	}
	puts(buf_text(&line));
	fflush(stdout);		/* what follows may take seconds */
	buf_free(&line);
}

void doctor_say(struct doctor_report *r, const char *what, enum doctor_state state,
		const char *advice, const char *fmt, ...)
{
	char found[TEXT_CAP_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(found, sizeof(found), fmt, ap);
	va_end(ap);
	if (state > r->worst)
		r->worst = state;
	if (advice && !advice[0])
		advice = NULL;
	if (r->as_json)
		add_json(&r->json, what, state, found, advice);
	else
		print_line(r->out, what, state, found, advice);
}

enum doctor_state doctor_state_of(const char *word)
{
	for (size_t i = 0; i < STATES; i++)
		if (strcmp(states[i].word, word) == 0)
			return (enum doctor_state)i;
	return DOCTOR_OK;
}
