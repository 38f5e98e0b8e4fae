/*
 * Everything gradingctl knows about terminals. What it prints of others' texts goes through here.
 */
#include "ctl/term.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/utf8.h"

#define REDRAW_MS 100
#define WIDTH_DEFAULT 80
#define WIDTH_MIN 40
#define LIVE_CAP_BYTES 4096
#define PRINT_CAP_BYTES (64 << 20)
#define PRINT_INDENT 4

static const char *const styles[] = {
	[TERM_PLAIN] = "\033[0m", [TERM_BOLD] = "\033[1m",   [TERM_DIM] = "\033[2m",
	[TERM_RED] = "\033[31m",  [TERM_GREEN] = "\033[32m", [TERM_YELLOW] = "\033[33m",
	[TERM_CYAN] = "\033[36m",
};

static int width_of(FILE *file)
{
	struct winsize size;

	if (ioctl(fileno(file), TIOCGWINSZ, &size) == -1 || size.ws_col == 0)
		return WIDTH_DEFAULT;
	return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
}

void term_open(struct term *t, FILE *file)
{
	const char *no_color = getenv("NO_COLOR"), *type = getenv("TERM");
	bool able = type && strcmp(type, "dumb") != 0;

	setlocale(LC_CTYPE, "");
	*t = (struct term){ .file = file, .is_tty = isatty(fileno(file)) && able };
	t->unicode = t->is_tty && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	t->colour = t->is_tty && !(no_color && no_color[0]);
	t->width = t->is_tty ? width_of(file) : 0;
}

const char *term_style(const struct term *t, enum term_style style)
{
	return t->colour ? styles[style] : "";
}

/* ---- others' texts ---- */

static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

static void escape_control(struct buf *out, uint32_t code)
{
	if (code == '\n')
		buf_str(out, "\\n");
	else if (code == '\t')
		buf_str(out, "\\t");
	else
		buf_printf(out, code < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)code);
}

void term_escape(struct buf *out, const char *text)
{
	const char *end = text + strlen(text);
	uint32_t code;

	for (size_t n; text < end; text += n ? n : 1) {
		n = utf8_next(text, (size_t)(end - text), &code);
		if (n == 0)
			buf_str(out, "\xef\xbf\xbd");
		else if (is_control(code))
			escape_control(out, code);
		else
			buf_add(out, text, n);
	}
}

void term_json(struct buf *out, const char *json)
{
	const char *end = json + strlen(json);
	uint32_t code;

	for (size_t n; json < end; json += n ? n : 1) {
		n = utf8_next(json, (size_t)(end - json), &code);
		if (n > 0 && code >= 0x7f && is_control(code))
			buf_printf(out, "\\u%04x", (unsigned)code);
		else
			buf_add(out, json, n ? n : 1);
	}
}

/*
 * Columns of n bytes of clean UTF-8. In a locale that does not know a character it counts as one.
 */
static int columns_of(const char *text, size_t n)
{
	int columns = 0;
	uint32_t code;

	for (size_t i = 0, len; i < n; i += len) {
		int width;

		len = utf8_next(text + i, n - i, &code);
		width = len ? wcwidth((wchar_t)code) : 1;
		columns += width < 0 ? 1 : width;
		len = len ? len : 1;
	}
	return columns;
}

/* A word may be longer than a line: the terminal breaks it then. */
void term_wrap(const struct term *t, struct buf *out, const char *text, int indent)
{
	struct buf clean;
	int column = indent;
	size_t blanks = 0;	/* before the word, dropped where a line ends */

	buf_init(&clean, strlen(text) * 6 + 1);		/* at most \u0085 for two bytes */
	term_escape(&clean, text);
	for (const char *p = buf_text(&clean); *p; ) {
		size_t word = strcspn(p, " ");
		int columns = columns_of(p, word);

		if (t->width && column > indent && column + (int)blanks + columns > t->width) {
			buf_printf(out, "\n%*s", indent, "");
			column = indent;
			blanks = 0;
		}
		buf_printf(out, "%*s%.*s", (int)blanks, "", (int)word, p);
		column += (int)blanks + columns;
		p += word;
		blanks = strspn(p, " ");
		p += blanks;
	}
	buf_free(&clean);
}

void term_print(const struct term *t, const char *text)
{
	struct buf line, out;

	buf_init(&line, PRINT_CAP_BYTES);
	buf_init(&out, 6 * PRINT_CAP_BYTES);
	for (size_t len; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		buf_reset(&line);
		buf_reset(&out);
		buf_add(&line, text, len);
		if (t->width && columns_of(text, len) > t->width)
			term_wrap(t, &out, buf_text(&line), PRINT_INDENT);
		else
			buf_add(&out, text, len);
		fprintf(t->file, "%s%s", buf_text(&out), text[len] ? "\n" : "");
	}
	buf_free(&line);
	buf_free(&out);
}

const char *term_plural(int64_t n)
{
	return n == 1 ? "" : "s";
}

/* ---- progress ---- */

/* Eighths of a block, so that a bar moves smoothly; '#' and '-' where there are none. */
void term_bar(const struct term *t, struct buf *out, double fraction, int width)
{
	static const char *const eighths[] = { "",	 "\u258f", "\u258e", "\u258d",
					       "\u258c", "\u258b", "\u258a", "\u2589" };
	int done = (int)(fraction * width * 8 + 0.5), part = done % 8;

	for (int i = 0; i < width; i++) {
		if (i < done / 8)
			buf_str(out, t->unicode ? "\u2588" : "#");
		else if (t->unicode && i == done / 8 && part)
			buf_str(out, eighths[part]);
		else
			buf_str(out, t->unicode ? "\u2591" : "-");
	}
}

void term_live(struct term *t, double fraction, const char *text, bool force)
{
	int bar = t->width / 3;
	struct buf line;

	if (!t->is_tty || (!force && now_ms() - t->drawn_ms < REDRAW_MS))
		return;
	buf_init(&line, LIVE_CAP_BYTES);
	buf_printf(&line, "\r%s", term_style(t, TERM_GREEN));
	term_bar(t, &line, fraction, bar);
	/* Cut at the edge, where it would scroll; then whatever an older text left is erased. */
	buf_printf(&line, "%s %.*s\033[K", term_style(t, TERM_PLAIN), t->width - bar - 2, text);
	fputs(buf_text(&line), t->file);
	fflush(t->file);
	buf_free(&line);
	t->drawn_ms = now_ms();
	t->bar_shown = true;
}

void term_live_clear(struct term *t)
{
	if (!t->bar_shown)
		return;
	fputs("\r\033[K", t->file);
	fflush(t->file);
	t->bar_shown = false;
}
