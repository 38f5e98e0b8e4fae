/*
 * Hides passwords in connection strings and URLs; any process. It never judges whether a text is
 * well-formed: what libpq would refuse must not leak either.
 */
#include "base/mask.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define STARS "****"
#define BLANKS " \t\r\n"

static const char *const secret_names[] = {
	"password", "sslpassword", "oauth_client_secret", "api_key", "api-key", "apikey", "key",
	"token", "access_token", "subscription-key", "client_secret", "secret", "code", "sig",
	"signature",
};

/* Length of "password =" at p when its value must be hidden, else 0. */
static size_t secret_assignment(const char *p)
{
	for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
		size_t n = strlen(secret_names[i]);

		if (strncasecmp(p, secret_names[i], n) != 0)
			continue;
		n += strspn(p + n, BLANKS);
		if (p[n] == '=')
			return n + 1;
	}
	return 0;
}

/* The end of a value as libpq reads it: 'quoted \' text' or a word, backslashes escaping. */
static const char *value_end(const char *p)
{
	bool quoted = false;

	p += strspn(p, BLANKS);
	for (; *p && (quoted || !strchr(BLANKS, *p)); p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '\'')
			quoted = !quoted;
	}
	return p;
}

/*
 * p is behind "://" of a URI that ends at `end`. Copies the user, hides the password, and returns
 * where to go on. An unescaped '/' or '?' before the last '@' leaves open where the password ends:
 * then all the rest is hidden.
 */
static const char *mask_userinfo(const char *p, const char *end, struct buf *out)
{
	const char *colon = memchr(p, ':', (size_t)(end - p));
	const char *at = memrchr(p, '@', (size_t)(end - p));

	if (!colon || !at || colon > at)
		return p;
	buf_add(out, p, (size_t)(colon + 1 - p));
	buf_str(out, STARS);
	for (const char *q = p; q < at; q++)
		if (*q == '/' || *q == '?')
			return end;
	return at;
}

static bool is_quoted(const char *secret, size_t n, const char *text, size_t len)
{
	return n >= MASK_SECRET_MIN_BYTES && len >= n && memmem(text, len, secret, n);
}

bool mask_is_quoted(const char *secret, const char *text, size_t len)
{
	return secret && is_quoted(secret, strlen(secret), text, len);
}

bool mask_is_url_quoted(const char *url, const char *text, size_t len)
{
	for (const char *p = strchr(url, '?'); p; p = strchr(p + 1, '&')) {
		size_t n = secret_assignment(p + 1);

		if (n && is_quoted(p + 1 + n, strcspn(p + 1 + n, "&#"), text, len))
			return true;
	}
	return false;
}

void mask_secrets(const char *text, struct buf *out)
{
	const char *scheme_end = strstr(text, "://");
	bool is_uri = scheme_end && strcspn(text, BLANKS "='") > (size_t)(scheme_end - text);
	const char *starts = is_uri ? "?&" : BLANKS;	/* a name follows one of these */
	const char *p = text;

	while (*p) {
		bool name_may_start = p == text || strchr(starts, p[-1]);
		size_t n = name_may_start ? secret_assignment(p) : 0;

		if (n) {
			buf_add(out, p, n);
			buf_str(out, STARS);
			p = is_uri ? p + strcspn(p, "&") : value_end(p + n);
		} else if (strncmp(p, "://", 3) == 0) {
			buf_str(out, "://");
			p += 3;
			p = mask_userinfo(p, is_uri ? p + strlen(p) : p + strcspn(p, BLANKS "'"),
					  out);
		} else {
			buf_char(out, *p++);
		}
	}
}
