/*
 * The configuration for people: `show config`, `gradingd -K`. Runs in the supervisor; what it shows
 * has no password in it.
 */
#include "config/config_show.h"

#include <string.h>

#include "base/buf.h"
#include "base/mask.h"
#include "base/table.h"
#include "config_keys.h"
#include "config_value.h"

static const char *const type_names[] = {
	[KEY_STRING] = "string", [KEY_INTEGER] = "integer", [KEY_DURATION] = "duration",
	[KEY_DECIMAL] = "decimal", [KEY_CHOICE] = "choice", [KEY_LIST] = "list",
	[KEY_WORDS] = "list", [KEY_OBJECT] = "group", [KEY_HEADERS] = "group",
	[KEY_HOOKS] = "list",
};

static bool is_preset(const struct config_key *key, const struct buf *value)
{
	struct config scratch = { 0 };
	struct buf preset;
	bool is = false;

	buf_init(&preset, CONFIG_VALUE_CAP_BYTES);
	if (config_value_parse(key, &scratch, key->preset) == 0) {
		config_value_format(key, &scratch, &preset);
		is = strcmp(buf_text(value), buf_text(&preset)) == 0;
	}
	config_value_free(key, &scratch);
	buf_free(&preset);
	return is;
}

/* A value at its default is shown in the default's words: "24h", not "1d". */
static void show_key(const struct config_key *key, const struct config *config, struct table *table)
{
	struct buf value, shown, masked;

	buf_init(&value, CONFIG_VALUE_CAP_BYTES);
	buf_init(&shown, CONFIG_VALUE_CAP_BYTES);
	buf_init(&masked, CONFIG_VALUE_CAP_BYTES);
	config_value_format(key, config, &value);
	config_value_show(key, config, &shown);
	mask_secrets(buf_text(&shown), &masked);
	table_row(table);
	table_text(table, key->path);
	table_text(table, is_preset(key, &value) ? key->preset : buf_text(&masked));
	table_text(table, key->preset);
	table_text(table, key->restart ? "restart" : "yes");
	if (value.data)
		explicit_bzero(value.data, value.size);
	if (shown.data)
		explicit_bzero(shown.data, shown.size);
	buf_free(&value);
	buf_free(&shown);
	buf_free(&masked);
}

void config_show(const struct config *config, struct table *table)
{
	for (size_t i = 0; i < config_keys_n; i++)
		show_key(&config_keys[i], config, table);
}

/* [ "excellent", "good" ] from "excellent, good" */
static void list_preset(const char *text, struct buf *out)
{
	buf_str(out, "[ \"");
	for (; *text; text++)
		if (*text == ',')
			buf_str(out, "\",");
		else if (*text == ' ')
			buf_str(out, " \"");
		else
			buf_char(out, *text);
	buf_str(out, "\" ]");
}

void config_list(struct buf *out)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *key = &config_keys[i];

		buf_printf(out, "%s\t%s\t", key->path, type_names[key->type]);
		if (key->type == KEY_LIST)
			list_preset(key->preset, out);
		else if (key->type == KEY_STRING || key->type == KEY_DURATION ||
			 key->type == KEY_CHOICE)
			buf_json(out, key->preset);
		else
			buf_str(out, key->preset);
		buf_printf(out, "\t%s\t%s\n", key->restart ? "restart" : "yes", key->help);
	}
}
