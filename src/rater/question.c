/*
 * What a rater is asked. Pure; runs in workers. Judged text leaves here as JSON strings and in no
 * other way, so a line that says "ignore your instructions" stays a line.
 */
#include "rater/question.h"

#include "queue/whole.h"
#include "scoreboard/breadcrumb.h"

void question_each_context(const struct config *config, const struct job *job,
			   const struct line *const *lines, size_t n,
			   void (*each)(void *arg, const struct line *line), void *arg)
{
	size_t width = (size_t)config->rater.context_lines;
	size_t next = 0;	/* entries before it were dealt with */
	size_t asked = 0;	/* lines[asked] is the first asked one not before entry i */

	if (width == 0)
		return;
	for (size_t k = 0; k < n; k++) {
		size_t at = (size_t)(lines[k] - job->lines);
		size_t from = at > width ? at - width : 0;
		size_t to = job->nlines - at > width ? at + width + 1 : job->nlines;

		for (size_t i = from > next ? from : next; i < to; i++) {
			while (asked < n && lines[asked] < &job->lines[i])
				asked++;
			if (asked == n || lines[asked] != &job->lines[i])
				each(arg, &job->lines[i]);
		}
		next = to;
	}
}

/*
 * Some servers turn "<|im_end|>" or "[/INST]" into the control tokens of a chat template wherever
 * they stand, and what follows is then the system's word. Escaped, the same text has no such
 * spelling.
 */
#define TEMPLATE_CHARACTERS "<["

/* A key and a string, for within an object. */
static void write_member(struct buf *out, const char *key, const char *text)
{
	buf_printf(out, "\"%s\": ", key);
	buf_json_hiding(out, text, TEMPLATE_CHARACTERS);
}

static void write_scale(struct buf *out, const struct string_list *scale)
{
	for (size_t i = 0; i < scale->n; i++) {
		buf_str(out, i ? ", " : "");
		buf_json(out, scale->items[i]);
	}
}

struct list { struct buf *out; size_t n; };

static void write_context(void *arg, const struct line *line)
{
	struct list *list = arg;

	buf_str(list->out, list->n++ ? ", {" : "{");
	write_member(list->out, "speaker", line->speaker);
	buf_str(list->out, ", ");
	write_member(list->out, "text", line->text);
	buf_char(list->out, '}');
}

static void write_lines(struct buf *out, const struct line *const *lines, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		breadcrumb_line(lines[i]->index);
		buf_printf(out, "%s{\"line\": %d, ", i ? ", " : "", lines[i]->index);
		write_member(out, "text", lines[i]->text);
		buf_char(out, '}');
	}
}

static void write_conversation(struct buf *out, const struct whole *whole)
{
	for (size_t i = 0; i < whole->nlines; i++) {
		const struct whole_line *line = &whole->lines[i];

		breadcrumb_line(line->index);
		buf_printf(out, "%s{\"line\": %d, ", i ? ", " : "", line->index);
		if (*line->speaker) {
			write_member(out, "speaker", line->speaker);
			buf_str(out, ", ");
		}
		write_member(out, "text", line->text);
		if (*line->rating) {
			buf_str(out, ", ");
			write_member(out, "rating", line->rating);
		}
		buf_char(out, '}');
	}
}

static void write_session(struct buf *out, const struct config *config, const struct job *job)
{
	buf_str(out, "{\"task\": \"session\", ");
	write_member(out, "sales_rep", job->sales_rep);
	buf_str(out, ", ");
	write_member(out, "customer", job->customer);
	buf_str(out, ", \"scale\": [");
	write_scale(out, &config->rater.scale);
	buf_printf(out, "], \"unrated\": %d, \"conversation\": [", job->whole->unrated);
	write_conversation(out, job->whole);
	buf_str(out, "]}");
}

void question_write(struct buf *out, const struct config *config, const struct ask *ask)
{
	struct list context = { out, 0 };

	if (ask_is_whole(ask)) {
		write_session(out, config, ask->job);
		return;
	}
	buf_char(out, '{');
	write_member(out, "sales_rep", ask->control ? "" : ask->job->sales_rep);
	buf_str(out, ", ");
	write_member(out, "customer", ask->control ? "" : ask->job->customer);
	buf_str(out, ", \"scale\": [");
	write_scale(out, &config->rater.scale);
	buf_str(out, "], \"context\": [");
	question_each_context(config, ask->job, ask->lines, ask_job_lines(ask), write_context,
			      &context);
	buf_str(out, "], \"lines\": [");
	write_lines(out, ask->lines, ask->nlines);
	buf_str(out, "]}");
}
