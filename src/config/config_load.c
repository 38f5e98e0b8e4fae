/*
 * Loads the configuration: libconfig parses, the table in config_keys.c decides. libconfig takes
 * any key and any type, so the whole tree is walked, and what the table does not know is refused
 * with its line. Runs in the supervisor (start, reload) and in gradingctl; never logs or exits.
 */
#include "config/config_load.h"

#include <errno.h>
#include <libconfig.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mask.h"
#include "base/utf8.h"
#include "config/config_check.h"
#include "config_hint.h"
#include "config_hooks.h"
#include "config_keys.h"
#include "config_scan.h"
#include "config_value.h"

#define FILE_CAP_BYTES (256u << 10)
#define PATH_WORD_CAP 128		/* of an unknown key, in a message */
#define SHOWN_VALUE_BYTES 60		/* of a refused value, in a message */
#define REASON_CAP_BYTES 1024		/* err.text cuts it further */

struct loader {
	struct config *config;		/* being filled */
	config_t tree;
	const char *path;		/* of the file, for messages */
	config_mistake_fn *tell;	/* NULL: nobody wants to hear of each */
	void *tell_arg;
	int mistakes;
	struct err *err;		/* the first one */
};

/* line 0: none. Counts and tells a mistake; whoever found it may go on. Always returns -1. */
static int refuse(struct loader *l, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct loader *l, unsigned line, const char *fmt, ...)
{
	char reason[REASON_CAP_BYTES];
	struct err mistake;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	if (line)
		err_set(&mistake, ERR_CONFIG, "%s:%u: %s", l->path, line, reason);
	else
		err_set(&mistake, ERR_CONFIG, "%s: %s", l->path, reason);
	if (l->mistakes++ == 0)
		*l->err = mistake;
	if (l->tell && l->mistakes <= CONFIG_MISTAKES_TOLD)
		l->tell(l->tell_arg, mistake.text);
	return -1;
}

/* For whoever hears of the first alone, or of no more than he was told. */
static void tell_rest(struct loader *l)
{
	size_t len = strlen(l->err->text);
	char rest[60];

	if (l->mistakes > CONFIG_MISTAKES_TOLD && l->tell) {
		snprintf(rest, sizeof(rest), "and %d more mistakes",
			 l->mistakes - CONFIG_MISTAKES_TOLD);
		l->tell(l->tell_arg, rest);
	}
	if (l->mistakes > 1)
		snprintf(l->err->text + len, sizeof(l->err->text) - len, " (and %d more mistake%s)",
			 l->mistakes - 1, l->mistakes == 2 ? "" : "s");
}

static void show_string(const char *text, struct buf *out)
{
	char cut[SHOWN_VALUE_BYTES + 1];
	struct buf masked;

	buf_init(&masked, FILE_CAP_BYTES);
	mask_secrets(text, &masked);
	snprintf(cut, sizeof(cut), "%s", buf_text(&masked));
	buf_json(out, cut);
	buf_free(&masked);
}

/* A value as a person wrote it, without passwords and control characters. */
static void show_scalar(const config_setting_t *s, struct buf *out)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		show_string(config_setting_get_string(s), out);
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		buf_printf(out, "%lld", config_setting_get_int64(s));
		break;
	case CONFIG_TYPE_FLOAT:
		buf_printf(out, "%#g", config_setting_get_float(s));
		break;
	case CONFIG_TYPE_BOOL:
		buf_str(out, config_setting_get_bool(s) ? "true" : "false");
		break;
	default:
		buf_str(out, config_setting_is_group(s) ? "a group" : "[ ]");
	}
}

static void show_setting(const config_setting_t *s, struct buf *out)
{
	int n = config_setting_is_group(s) ? 0 : config_setting_length(s);

	if (n == 0) {
		show_scalar(s, out);
		return;
	}
	for (int i = 0; i < n && out->len < SHOWN_VALUE_BYTES; i++) {
		buf_str(out, i ? ", " : "[ ");
		show_scalar(config_setting_get_elem(s, (unsigned)i), out);
	}
	buf_str(out, out->len < SHOWN_VALUE_BYTES ? " ]" : " ... ]");
}

static int refuse_value(struct loader *l, const struct config_key *key, const config_setting_t *s,
			const char *text)
{
	struct buf shown, allowed;

	buf_init(&shown, REASON_CAP_BYTES);
	buf_init(&allowed, REASON_CAP_BYTES);
	if (!key->secret) {
		buf_str(&shown, " is ");
		show_setting(s, &shown);
		buf_str(&shown, "; it");
	}
	config_value_allowed(key, text, &allowed);
	refuse(l, config_setting_source_line(s), "%s%s must be %s", key->path, buf_text(&shown),
	       buf_text(&allowed));
	buf_free(&shown);
	buf_free(&allowed);
	return -1;
}

/* Joined as config_value_parse() takes lists; false when an item is no string or would split. */
static bool list_text(const config_setting_t *s, struct buf *out)
{
	for (int i = 0; i < config_setting_length(s); i++) {
		const char *item = config_setting_get_string_elem(s, i);

		if (!item || strchr(item, ','))
			return false;
		buf_printf(out, "%s%s", i ? ", " : "", item);
	}
	return true;
}

static bool words_text(const config_setting_t *s, struct buf *out)
{
	buf_char(out, '[');
	for (int i = 0; i < config_setting_length(s); i++) {
		const char *item = config_setting_get_string_elem(s, i);

		if (!item)
			return false;
		buf_str(out, i ? ", " : " ");
		config_value_quote(out, item);
	}
	buf_str(out, " ]");
	return true;
}

/* ---- groups of values ---- */

#define OBJECT_DEPTH 8

/* The shortest text that is this number again. */
static bool float_json(double value, struct buf *out)
{
	char text[32];

	if (!isfinite(value))
		return false;
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_str(out, text);
	return true;
}

static bool string_json(const char *text, struct buf *out)
{
	if (!utf8_is_valid(text, strlen(text)))
		return false;
	buf_json(out, text);
	return true;
}

/* A setting as JSON: groups are objects, lists and arrays are arrays. */
static bool setting_json(const config_setting_t *s, int depth, struct buf *out)
{
	bool is_group = config_setting_is_group(s);

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		return string_json(config_setting_get_string(s), out);
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		buf_printf(out, "%lld", config_setting_get_int64(s));
		return true;
	case CONFIG_TYPE_FLOAT:
		return float_json(config_setting_get_float(s), out);
	case CONFIG_TYPE_BOOL:
		buf_str(out, config_setting_get_bool(s) ? "true" : "false");
		return true;
	default:
		break;
	}
	if (depth == 0)
		return false;
	buf_char(out, is_group ? '{' : '[');
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);

		buf_str(out, i ? "," : "");
		if (is_group) {
			buf_json(out, config_setting_name(item));
			buf_char(out, ':');
		}
		if (!setting_json(item, depth - 1, out))
			return false;
	}
	buf_char(out, is_group ? '}' : ']');
	return true;
}

static bool object_text(const struct config_key *key, const config_setting_t *s, struct buf *out)
{
	if (!config_setting_is_group(s) || config_setting_length(s) > key->max)
		return false;
	if (config_setting_length(s) > 0)
		return setting_json(s, OBJECT_DEPTH, out);
	buf_str(out, key->preset);
	return true;
}

static bool headers_text(const config_setting_t *s, struct buf *out)
{
	if (!config_setting_is_group(s))
		return false;
	buf_char(out, '{');
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);

		if (config_setting_type(item) != CONFIG_TYPE_STRING)
			return false;
		buf_str(out, i ? ", " : " ");
		config_value_quote(out, config_setting_name(item));
		buf_str(out, ": ");
		config_value_quote(out, config_setting_get_string(item));
	}
	buf_str(out, " }");
	return true;
}

/* A member of a group that is set by another key, or by nobody. NULL: there is none. */
static const config_setting_t *find_not_in(const struct config_key *key, const config_setting_t *s)
{
	int n = key->not_in && config_setting_is_group(s) ? config_setting_length(s) : 0;

	for (int i = 0; i < n; i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);

		for (size_t k = 0; key->not_in[k]; k++)
			if (strcasecmp(config_setting_name(item), key->not_in[k]) == 0)
				return item;
	}
	return NULL;
}

/* ---- values ---- */

/* As it was written, exactly so for all that is allowed; with decimals too many for the rest. */
static bool decimal_text(double value, struct buf *out)
{
	char text[400];
	size_t len = (size_t)snprintf(text, sizeof(text), "%.10f", value);

	while (len > 0 && text[len - 1] == '0')
		len--;
	len -= len > 0 && text[len - 1] == '.';
	buf_add(out, text, len);
	return value == 0 || value > 1e-10;	/* less would read as 0 */
}

/* Numbers stand without quotes, but for one that is "none". */
static bool is_none(const struct config_key *key, const config_setting_t *s)
{
	return key->or_none && strcmp(config_setting_get_string(s), "none") == 0;
}

/* The setting as text for config_value_parse(), or false when its type cannot be meant. */
static bool setting_text(const struct config_key *key, const config_setting_t *s, struct buf *out)
{
	int type = config_setting_type(s);
	bool is_integer = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;

	if (key->type == KEY_LIST || key->type == KEY_WORDS)
		return (type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST) &&
		       (key->type == KEY_LIST ? list_text : words_text)(s, out);
	if (key->type == KEY_OBJECT)
		return object_text(key, s, out);
	if (key->type == KEY_HEADERS)
		return headers_text(s, out);
	if (key->type == KEY_HOOKS) {
		buf_str(out, key->preset);	/* set_hooks() looks into it */
		return true;
	}
	if (key->type == KEY_CHOICE && type == CONFIG_TYPE_BOOL) {
		buf_str(out, config_setting_get_bool(s) ? "true" : "false");
		return true;
	}
	if (key->type == KEY_DECIMAL && type == CONFIG_TYPE_FLOAT)
		return decimal_text(config_setting_get_float(s), out);
	if (is_integer && (key->type == KEY_INTEGER || key->type == KEY_DECIMAL ||
			   (key->type == KEY_DURATION && config_setting_get_int64(s) == 0))) {
		buf_printf(out, "%lld", config_setting_get_int64(s));
		return true;
	}
	if (type != CONFIG_TYPE_STRING || key->type == KEY_INTEGER ||
	    (key->type == KEY_DECIMAL && !is_none(key, s)))
		return false;
	buf_str(out, config_setting_get_string(s));
	return true;
}

/* base: the struct that the key's offset is in. */
static int set_value(struct loader *l, const struct config_key *key, void *base,
		     const config_setting_t *s)
{
	const config_setting_t *wrong = find_not_in(key, s);
	struct buf text;
	int rc = 0;

	if (wrong)
		return refuse(l, config_setting_source_line(wrong), "%s cannot set %s, which every "
			      "request has already", key->path, config_setting_name(wrong));
	buf_init(&text, FILE_CAP_BYTES);
	errno = EINVAL;
	if (!setting_text(key, s, &text) ||
	    config_value_parse(key, base, buf_text(&text)) == -1)
		rc = errno == ENOMEM ? refuse(l, 0, "out of memory") :
				       refuse_value(l, key, s, buf_text(&text));
	if (key->secret && text.data)
		explicit_bzero(text.data, text.size);
	buf_free(&text);
	return rc;
}

static int refuse_unknown(struct loader *l, const config_setting_t *s, const char *path,
			  const struct config_key *group)
{
	bool is_group = config_setting_is_group(s);
	struct buf hint;

	buf_init(&hint, REASON_CAP_BYTES);
	if (group)
		config_hint_key(path, group, &hint);
	else
		config_hint_group(path, &hint);
	refuse(l, config_setting_source_line(s), "unknown %s \"%s\"; %s",
	       is_group && !group ? "group" : "key", path, buf_text(&hint));
	buf_free(&hint);
	return -1;
}

/* ---- webhooks ---- */

static int refuse_hook_key(struct loader *l, const config_setting_t *s)
{
	struct buf known;

	buf_init(&known, REASON_CAP_BYTES);
	hook_keys_list(&known);
	refuse(l, config_setting_source_line(s), "unknown key \"%.60s\" of a webhook; they are %s",
	       config_setting_name(s), buf_text(&known));
	buf_free(&known);
	return -1;
}

/* A name in the directory of the configuration as a path; NULL: no memory. */
static char *beside_config(const struct loader *l, const char *name)
{
	int directory = (int)(strrchr(l->config->path, '/') - l->config->path);
	char *full;

	return asprintf(&full, "%.*s/%s", directory, l->config->path, name) == -1 ? NULL : full;
}

static int set_hook_member(struct loader *l, struct webhook *hook, const config_setting_t *s)
{
	const struct config_key *key = hook_key_find(config_setting_name(s));
	char **value, *full;

	if (!key)
		return refuse_hook_key(l, s);
	if (set_value(l, key, hook, s) == -1)
		return -1;
	value = (char **)(void *)((char *)hook + key->offset);
	if (!key->file || !(*value)[0] || (*value)[0] == '/')
		return 0;
	full = beside_config(l, *value);
	if (!full)
		return refuse(l, 0, "out of memory");
	free(*value);
	*value = full;
	return 0;
}

static int check_hook(struct loader *l, const config_setting_t *group, const struct webhook *hook)
{
	static const char *const needed[] = { "name", "url" };
	bool by_env = hook->secret_env[0], by_file = hook->secret_file[0];

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!config_setting_get_member(group, needed[i]))
			return refuse(l, config_setting_source_line(group),
				      "a webhook of webhooks.hooks has no %s", needed[i]);
	if (by_env == by_file)
		return refuse(l, config_setting_source_line(group),
			      "the webhook %s must have one of secret_env and secret_file, which "
			      "say where its secrets are", hook->name);
	for (size_t i = 0; i < l->config->webhooks.hooks.n; i++)
		if (strcmp(l->config->webhooks.hooks.items[i].name, hook->name) == 0)
			return refuse(l, config_setting_source_line(group),
				      "two webhooks have the name %s", hook->name);
	return 0;
}

static int add_hook(struct loader *l, const config_setting_t *group)
{
	struct webhook hook = { .name = NULL };
	int rc = 0;

	if (!config_setting_is_group(group))
		return refuse(l, config_setting_source_line(group), "an item of webhooks.hooks is "
			      "no group; it must be as { name = \"app\"; url = \"https://...\"; "
			      "secret_env = \"VARIABLE\"; }");
	if (hook_preset(&config_value_ops, &hook) == -1)
		rc = refuse(l, 0, "out of memory");
	for (int i = 0; i < config_setting_length(group) && hook.ca_file; i++)
		if (set_hook_member(l, &hook, config_setting_get_elem(group, (unsigned)i)) == -1)
			rc = -1;
	if (rc == 0)
		rc = check_hook(l, group, &hook);
	if (rc == 0 && hook_list_add(&l->config->webhooks.hooks, &hook) == -1)
		rc = refuse(l, 0, "out of memory");
	hook_free(&config_value_ops, &hook);
	return rc;
}

static int set_hooks(struct loader *l, const struct config_key *key, const config_setting_t *s)
{
	int type = config_setting_type(s), n = config_setting_length(s), rc = 0;

	if ((type != CONFIG_TYPE_LIST && (type != CONFIG_TYPE_ARRAY || n > 0)) || n > key->max)
		return refuse_value(l, key, s, "");
	for (int i = 0; i < n; i++)
		if (add_hook(l, config_setting_get_elem(s, (unsigned)i)) == -1)
			rc = -1;
	return rc;
}

static int set_key(struct loader *l, const struct config_key *key, const config_setting_t *s)
{
	return key->type == KEY_HOOKS ? set_hooks(l, key, s) : set_value(l, key, l->config, s);
}

static int set_group(struct loader *l, const config_setting_t *group)
{
	const char *name = config_setting_name(group);
	const struct config_key *first = config_group_find(name), *alone = config_key_find(name);
	int rc = 0;

	if (alone)
		return set_key(l, alone, group);
	if (!first)
		return refuse_unknown(l, group, name, NULL);
	if (!config_setting_is_group(group))
		return refuse(l, config_setting_source_line(group),
			      "%s must be a group: %s: { ... };", name, name);
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct config_key *key;
		char path[PATH_WORD_CAP];

		snprintf(path, sizeof(path), "%s.%s", name, config_setting_name(s));
		key = config_key_find(path);
		if (!key)
			rc = refuse_unknown(l, s, path, first);
		else if (set_key(l, key, s) == -1)
			rc = -1;
	}
	return rc;
}

static int set_presets(struct loader *l)
{
	for (size_t i = 0; i < config_keys_n; i++)
		if (config_value_parse(&config_keys[i], l->config, config_keys[i].preset) == -1)
			return refuse(l, 0, "out of memory");
	return 0;
}

/* Sets key to name in the directory of the file `beside`. */
static int set_beside(struct loader *l, const char *path, const char *beside, const char *name)
{
	const struct config_key *key = config_key_find(path);
	int directory = (int)(strrchr(beside, '/') - beside);
	char *full;
	int rc;

	if (asprintf(&full, "%.*s/%s", directory, beside, name) == -1)
		return refuse(l, 0, "out of memory");
	rc = config_value_parse(key, l->config, full);
	free(full);
	return rc == 0 ? 0 : refuse(l, 0, "%s is too long a path", path);
}

/* A daemon's working directory is /, so no relative path may be left. */
static int make_absolute(struct loader *l)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];
		const char *value;

		if (!key->file)
			continue;
		value = *(char *const *)((const char *)l->config + key->offset);
		if (value[0] && value[0] != '/' &&
		    set_beside(l, key->path, l->config->path, value) == -1)
			return -1;
	}
	if (l->config->control.pid_file[0])
		return 0;
	return set_beside(l, "control.pid_file", l->config->control.socket, "gradingd.pid");
}

static void refuse_complaint(struct loader *l, const struct config_complaint *why)
{
	config_setting_t *s = config_lookup(&l->tree, why->key);

	if (!s && why->other)
		s = config_lookup(&l->tree, why->other);
	refuse(l, s ? config_setting_source_line(s) : 0, "%s", why->text);
}

/* Of two keys that exclude each other, one that has no value is to blame, and was blamed. */
static bool is_set_wrongly(struct loader *l, const char *path)
{
	const struct config_key *key = path ? config_key_find(path) : NULL;
	config_setting_t *s = key ? config_lookup(&l->tree, path) : NULL;
	struct buf text;
	struct config spare = { 0 };
	bool wrong;

	if (!s)
		return false;
	buf_init(&text, FILE_CAP_BYTES);
	wrong = !setting_text(key, s, &text) ||
		config_value_parse(key, &spare, buf_text(&text)) == -1;
	if (key->secret && text.data)
		explicit_bzero(text.data, text.size);
	buf_free(&text);
	config_value_free(key, &spare);
	return wrong;
}

static void on_complaint(void *arg, const struct config_complaint *why)
{
	struct loader *l = arg;

	if (!is_set_wrongly(l, why->key) && !is_set_wrongly(l, why->other))
		refuse_complaint(l, why);
}

/* What the nth line sets: its first word; 0 letters when it begins with something else. */
static size_t word_of_line(const char *text, int n, const char **word)
{
	while (n-- > 1 && *text)
		text += strcspn(text, "\n") + (strchr(text, '\n') != NULL);
	*word = text + strspn(text, " \t");
	return strspn(*word, "abcdefghijklmnopqrstuvwxyz_.");
}

static bool sets_more(const char *line)
{
	size_t first = strcspn(line, "=:\n");

	return line[first] && line[first] != '\n' &&
	       strcspn(line + first + 1, "=:") < strcspn(line + first + 1, "\n");
}

/* Values stay unquoted: the line may hold a password. */
static int refuse_syntax(struct loader *l, const char *text)
{
	const char *what = config_error_text(&l->tree), *word, *dot;
	unsigned line = (unsigned)config_error_line(&l->tree);
	int len = (int)word_of_line(text, (int)line, &word);

	dot = memchr(word, '.', (size_t)len);
	if (strcmp(what, "duplicate setting name") == 0)
		return refuse(l, line, "%.*s%s is given twice", len, word,
			      len == 0 ? "a name" :
			      sets_more(word) ? ", or what follows in this line," : "");
	if (dot && strchr("=: \t", word[len]))
		return refuse(l, line, "%.*s is written with braces: %.*s: { %.*s = ...; };", len,
			      word, (int)(dot - word), word, len - (int)(dot - word) - 1, dot + 1);
	if (strcmp(what, "mismatched element type in array") == 0)
		return refuse(l, line, "a list in [ ] holds values of different types; strings "
			      "stand in double quotes");
	return refuse(l, line, "%s%s", what, strcmp(what, "syntax error") ? "" :
		      " here, or a quote, semicolon or brace missing just above");
}

static int parse_tree(struct loader *l, const char *text)
{
	struct config_scan_fault fault;
	char *lines;
	int ok;

	if (config_scan(text, &fault) == -1)
		return refuse(l, fault.line, "%s", fault.text);
	if (asprintf(&lines, "%s\n", text) == -1)	/* a last comment needs its newline */
		return refuse(l, 0, "out of memory");
	ok = config_read_string(&l->tree, lines);
	explicit_bzero(lines, strlen(lines));	/* conninfo may hold a password */
	free(lines);
	return ok ? 0 : refuse_syntax(l, text);
}

static int fill(struct loader *l, const char *text, bool with_key)
{
	const config_setting_t *root;
	struct config_complaint why;

	if (set_presets(l) == -1 || parse_tree(l, text) == -1)
		return -1;
	root = config_root_setting(&l->tree);
	for (int i = 0; i < config_setting_length(root); i++)
		set_group(l, config_setting_get_elem(root, (unsigned)i));
	if (make_absolute(l) == -1)
		return -1;
	config_check(l->config, on_complaint, l);
	if (with_key && config_read_secrets(l->config, &why) == -1)
		on_complaint(l, &why);
	return l->mistakes ? -1 : 0;
}

static char *absolute_path(const char *path)
{
	char cwd[PATH_MAX], *full;

	if (path[0] == '/')
		return strdup(path);
	if (!getcwd(cwd, sizeof(cwd)) || asprintf(&full, "%s/%s", cwd, path) == -1)
		return NULL;
	return full;
}

/* Who wants what of a configuration. */
struct wish { bool with_key; config_mistake_fn *tell; void *arg; };

static struct config *load_text(const char *text, const char *path, const struct wish *wish,
				struct err *err)
{
	struct loader l = {
		.config = calloc(1, sizeof(struct config)), .path = path,
		.tell = wish->tell, .tell_arg = wish->arg, .err = err
	};
	int rc;

	if (!l.config || !(l.config->path = absolute_path(path))) {
		refuse(&l, 0, "%s", strerror(errno));
		config_free(l.config);
		return NULL;
	}
	config_init(&l.tree);
	rc = fill(&l, text, wish->with_key);
	config_destroy(&l.tree);
	if (rc == 0)
		return l.config;
	tell_rest(&l);
	config_free(l.config);
	return NULL;
}

static struct config *load_file(const char *path, const struct wish *wish, struct err *err)
{
	struct config *config = NULL;
	struct buf text;
	int rc;

	path = path ? path : CONFIG_DEFAULT_PATH;
	buf_init(&text, FILE_CAP_BYTES);
	rc = file_read(path, "configuration file", &text, err);
	if (rc == 0 && strlen(buf_text(&text)) != text.len)
		rc = err_set(err, ERR_CONFIG, "%s: holds a NUL byte; it must be a text", path);
	if (rc == 0)
		config = load_text(buf_text(&text), path, wish, err);
	else if (wish->tell)
		wish->tell(wish->arg, err->text);
	if (text.data)
		explicit_bzero(text.data, text.size);
	buf_free(&text);
	return config;
}

struct config *config_load(const char *path, struct err *err)
{
	return load_file(path, &(struct wish){ .with_key = true }, err);
}

struct config *config_load_telling(const char *path, config_mistake_fn *tell, void *arg,
				   struct err *err)
{
	return load_file(path, &(struct wish){ true, tell, arg }, err);
}

struct config *config_load_client(const char *path, struct err *err)
{
	return load_file(path, &(struct wish){ .with_key = false }, err);
}

struct config *config_parse_string(const char *text, const char *path, struct err *err)
{
	return load_text(text, path, &(struct wish){ .with_key = false }, err);
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config_keys_n; i++)
		config_value_free(&config_keys[i], config);
	config_free_secrets(config);
	free(config->path);
	free(config);
}
