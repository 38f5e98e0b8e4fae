/* Sorts errors by SQLSTATE (PostgreSQL manual, appendix A); used by children and gradingctl. */
#include "pg/pgerror.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/hint.h"

void pgerror_copy_message(char *out, size_t size, const char *message)
{
	const char *end = strstr(message, "\nLOCATION:");
	size_t n = 0;

	for (; *message && message != end && n + 2 < size; message++)
		if (!isspace((unsigned char)*message)) {
			out[n++] = *message;
		} else if (n > 0 && out[n - 1] != ' ') {
			if (*message == '\n' && message[1] && message + 1 != end &&
			    isalnum((unsigned char)out[n - 1]))
				out[n++] = ';';
			out[n++] = ' ';
		}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

/* In a verbose message it stands as "FATAL:  28P01: ...", whatever the language of the server. */
static bool find_sqlstate(const char *message, char state[6])
{
	for (const char *p = strstr(message, ":  "); p; p = strstr(p + 1, ":  ")) {
		size_t n = 0;

		while (n < 5 &&
		       (isupper((unsigned char)p[3 + n]) || isdigit((unsigned char)p[3 + n])))
			n++;
		if (n == 5 && p[8] == ':') {
			memcpy(state, p + 3, 5);
			state[5] = '\0';
			return true;
		}
	}
	return false;
}

static bool has_class(const char *state, const char *const *classes)
{
	for (; *classes; classes++)
		if (strncmp(state, *classes, strlen(*classes)) == 0)
			return true;
	return false;
}

bool pgerror_is_refusal(const char *message)
{
	static const char *const refusals[] = { "28", "3D", "42501", NULL };
	char state[6];

	/* libpq's own words, without a state */
	if (strstr(message, "fe_sendauth: no password supplied"))
		return true;
	return find_sqlstate(message, state) && has_class(state, refusals);
}

bool pgerror_is_lock_conflict(const char *message)
{
	static const char *const conflicts[] = { "55P03", "40P01", "40001", NULL };
	char state[6];

	return find_sqlstate(message, state) && has_class(state, conflicts);
}

/*
 * Read-only since it began; a statement prepared for columns of other types; or not prepared at
 * all. What has a context was raised by a function, a trigger's perhaps: a new session would meet
 * it again.
 */
bool pgerror_is_of_session(const PGresult *result)
{
	static const char *const states[] = { "25006", "0A000", "26000", NULL };
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state && has_class(state, states) &&
	       !PQresultErrorField(result, PG_DIAG_CONTEXT);
}

bool pgerror_is_of_level(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state && strcmp(state, "25001") == 0;
}

enum err_kind pgerror_kind(const char *sqlstate)
{
	/* P0: a trigger of theirs raises. */
	static const char *const data[] = { "22", "23", "54", "P0", NULL };
	static const char *const set_up[] = { "0A", "28", "3D", "3F", "42", NULL };

	if (sqlstate && has_class(sqlstate, data))
		return ERR_PERMANENT;
	if (sqlstate && has_class(sqlstate, set_up))
		return ERR_CONFIG;
	return ERR_RETRY;
}

/* The server ends the connection with it; a statement's own errors are none of these. */
static bool is_last_word(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

int pgerror_set(struct err *err, const char *what, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	err_set(err, is_last_word(result) ? ERR_LOST : pgerror_kind(state),
		"%s: %s (SQLSTATE %s)", what, message ? message : "no message",
		state ? state : "unknown");
	if (err && state)
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
	return -1;
}

/* The option that an unknown one was meant to be, which libpq quotes; NULL when none is near. */
static const char *hint_option(const char *message)
{
	static const char *const options[] = {
		"host", "hostaddr", "port", "dbname", "user", "password", "passfile", "sslmode",
		"sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name",
		"options", "target_session_attrs", NULL
	};
	const char *quoted = message ? strstr(message, "option \"") : NULL;
	char word[32];

	if (!quoted)
		return NULL;
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(quoted + 8, "\""), quoted + 8);
	return hint_word(options, word);
}

/*
 * libpq's messages about a malformed connection string quote the part it stumbled over, which is
 * that of a password with a blank or a slash in it. So they are told from here, without quotation.
 */
int pgerror_check_conninfo(const char *conninfo, struct err *err)
{
	PQconninfoOption *options;
	const char *port = "", *host = "", *hint;
	char *message = NULL;
	bool numeric, at_sign;

	if (!strchr(conninfo, '=') && !strstr(conninfo, "://"))
		return 0;	/* a database's name alone */
	options = PQconninfoParse(conninfo, &message);
	hint = hint_option(message);
	PQfreemem(message);
	if (!options && hint)
		return err_set(err, ERR_CONFIG, "the connection string has an option that is "
			       "unknown; did you mean \"%s\"?", hint);
	if (!options)
		return err_set(err, ERR_CONFIG,
			       "the connection string is malformed; values with blanks want "
			       "'quotes', and in a URI special characters are written as %%XX");
	for (PQconninfoOption *o = options; o->keyword; o++)
		if (strcmp(o->keyword, "port") == 0 && o->val)
			port = o->val;
		else if (strcmp(o->keyword, "host") == 0 && o->val)
			host = o->val;
	numeric = port[strspn(port, "0123456789, ")] == '\0';
	at_sign = host[0] != '@' && host[0] != '/' && strchr(host, '@');
	PQconninfoFree(options);
	if (!numeric || at_sign)
		return err_set(err, ERR_CONFIG,
			       "the %s; in a URI special characters of user and password are "
			       "written as %%XX",
			       numeric ? "host in the connection string has an @"
				       : "port in the connection string is no number");
	return 0;
}
