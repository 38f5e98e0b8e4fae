/*
 * A scanner for PostgreSQL's lexical structure (manual, 4.1), as far as splitting needs it.
 * gradingctl only; it never judges whether the SQL is right.
 */
#include "sql_split.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static bool begins_name(char c)
{
	return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool continues_name(char c)
{
	return begins_name(c) || isdigit((unsigned char)c);
}

/*
 * Each skip function takes the beginning of its token and returns what follows it; a token that is
 * not closed ends with the text.
 */

static const char *skip_line_comment(const char *p)
{
	return p + strcspn(p, "\n");
}

static const char *skip_block_comment(const char *p)
{
	int depth = 0;		/* unlike those of C, they nest */

	do {
		if (p[0] == '/' && p[1] == '*') {
			depth++;
			p += 2;
		} else if (p[0] == '*' && p[1] == '/') {
			depth--;
			p += 2;
		} else {
			p++;
		}
	} while (*p && depth > 0);
	return p;
}

static const char *skip_quoted(const char *p, bool backslashes)
{
	char quote = *p++;

	for (; *p; p++) {
		if (backslashes && *p == '\\' && p[1])
			p++;
		else if (*p == quote && p[1] == quote)
			p++;
		else if (*p == quote)
			return p + 1;
	}
	return p;
}

/* $$...$$ or $tag$...$tag$; a dollar that begins neither stands for itself. */
static const char *skip_dollar_quoted(const char *p)
{
	const char *tag_end = p + 1, *end;
	size_t len;

	if (begins_name(*tag_end))
		while (continues_name(*tag_end))
			tag_end++;
	if (*tag_end != '$')
		return p + 1;
	len = (size_t)(tag_end + 1 - p);
	for (end = strchr(tag_end + 1, '$'); end; end = strchr(end + 1, '$'))
		if (strncmp(end, p, len) == 0)
			return end + len;
	return p + strlen(p);
}

/* A name or keyword, which may hold dollars; or an E, and the string with backslashes behind it. */
static const char *skip_name(const char *p)
{
	const char *name = p;

	while (continues_name(*p) || *p == '$')
		p++;
	if (*p == '\'' && p == name + 1 && (*name == 'E' || *name == 'e'))
		return skip_quoted(p, true);
	return p;
}

static const char *skip_token(const char *p)
{
	if (p[0] == '-' && p[1] == '-')
		return skip_line_comment(p);
	if (p[0] == '/' && p[1] == '*')
		return skip_block_comment(p);
	if (*p == '\'' || *p == '"')
		return skip_quoted(p, false);
	if (*p == '$')
		return skip_dollar_quoted(p);
	if (begins_name(*p))
		return skip_name(p);
	return p + 1;
}

static const char *skip_nothings(const char *p)
{
	for (;;) {
		p += strspn(p, " \t\r\n\f\v;");
		if (strncmp(p, "--", 2) != 0 && strncmp(p, "/*", 2) != 0)
			return p;
		p = skip_token(p);
	}
}

const char *sql_split_next(const char **sql, size_t *len)
{
	const char *start = skip_nothings(*sql), *p = start;
	int parentheses = 0;

	while (*p && (*p != ';' || parentheses > 0)) {
		parentheses += (*p == '(') - (*p == ')');
		p = skip_token(p);
	}
	*sql = p;
	while (p > start && isspace((unsigned char)p[-1]))
		p--;
	*len = (size_t)(p - start);
	return *len ? start : NULL;
}
