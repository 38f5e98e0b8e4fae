/*
 * The options of gradingctl: one table, from which they are parsed, checked and listed. It knows no
 * command.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "config/config_load.h"

/*
 * argument NULL: a flag. Values begin as preset, which may lie outside of min to max; without a
 * range: a text.
 */
static const struct {
	const char *name, *argument;
	int64_t min, max, preset;
	const char *help;
} options[CTL_OPTIONS] = {
	[CTL_JSON] = { "json", NULL, 0, 1, 0, "answer with JSON" },
	[CTL_CSV] = { "csv", NULL, 0, 1, 0, "ratings: answer with CSV, for spreadsheets" },
	[CTL_STATUS] = { "status", NULL, 0, 1, 0, "migrate: only say how it stands" },
	[CTL_WAIT] = { "wait", NULL, 0, 1, 0, "enqueue: show progress until all is rated" },
	[CTL_BATCH_SIZE] = { "batch-size", "N", 1, 1000, 5, "enqueue: entries a job (5)" },
	[CTL_PRIORITY] = { "priority", "N", INT32_MIN, INT32_MAX, 0,
			   "enqueue: higher is rated first (0)" },
	[CTL_SINCE] = { "since", "CURSOR|TIME", 0, 0, 0,
			"ratings: what came after a cursor; export: since a time" },
	[CTL_AFTER] = { "after", "CURSOR", 0, 0, 0, "export: go on behind this line's cursor" },
	[CTL_PHRASE] = { "phrase", "TEXT", 0, 0, 0, "cache drop: entries of this phrase" },
	[CTL_MODEL] = { "model", "NAME", 0, 0, 0, "cache drop: entries of this model" },
	[CTL_PROMPT] = { "prompt", "HASH", 0, 0, 0, "cache drop: entries of this prompt" },
	[CTL_ALL] = { "all", NULL, 0, 1, 0, "cache drop: all entries" },
	[CTL_FAILED] = { "failed", NULL, 0, 1, 0,
			 "jobs, webhooks: those that failed; retry: all of them" },
	[CTL_PENDING] = { "pending", NULL, 0, 1, 0, "jobs, webhooks: those that wait" },
	[CTL_PROCESSING] = { "processing", NULL, 0, 1, 0, "jobs: those that are being rated" },
	[CTL_INCOMPLETE] = { "incomplete", NULL, 0, 1, 0,
			     "jobs, retry: those with lines that got no rating" },
	[CTL_LIMIT] = { "limit", "N", 1, 1000000, 50, "jobs, webhooks: no more than N (50)" },
};

/* What getopt_long() returns for them; above any letter, below it for the hidden --commands. */
#define OPTION_VALUE 256
#define COMMANDS_VALUE 255

static bool is_text(int i)
{
	return options[i].argument && options[i].min == options[i].max;
}

int options_number(enum ctl_option option, const char *text, int64_t min, int64_t max,
		   int64_t *number)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (*end || end == text || errno || value < min || value > max) {
		fprintf(stderr,
			"gradingctl: --%s %s: must be a number from %" PRId64 " to %" PRId64 "\n",
			options[option].name, text, min, max);
		return -1;
	}
	*number = value;
	return 0;
}

static int64_t parse_value(int i, const char *text)
{
	int64_t value = 1;

	if (options[i].argument &&
	    options_number((enum ctl_option)i, text, options[i].min, options[i].max, &value) == -1)
		exit(EXIT_FAILED);
	return value;
}

static void take_value(struct ctl *ctl, int i, const char *text)
{
	if (is_text(i))
		ctl->text[i] = text;
	else
		ctl->option[i] = parse_value(i, text);
}

/* Out of sight of ps(1): it may hold a password. */
static char *take_secret(char *text)
{
	char *copy = xstrdup(text);

	memset(text, '*', strlen(text));
	return copy;
}

static void fill_long_options(struct option *out)
{
	for (int i = 0; i < CTL_OPTIONS; i++)
		*out++ = (struct option){ options[i].name,
					  options[i].argument ? required_argument : no_argument,
					  NULL, OPTION_VALUE + i };
	*out++ = (struct option){ "commands", no_argument, NULL, COMMANDS_VALUE };
	*out++ = (struct option){ "version", no_argument, NULL, 'V' };
	*out++ = (struct option){ "help", no_argument, NULL, 'h' };
	*out = (struct option){ 0 };
}

struct options options_parse(struct ctl *ctl, int argc, char **argv)
{
	struct option long_options[CTL_OPTIONS + 4];
	struct options found = { 0 };
	int c;

	for (int i = 0; i < CTL_OPTIONS; i++)
		ctl->option[i] = options[i].preset;
	fill_long_options(long_options);
	while ((c = getopt_long(argc, argv, "c:s:d:Vh", long_options, NULL)) != -1) {
		if (c >= OPTION_VALUE) {
			found.given |= OPTION_BIT(c - OPTION_VALUE);
			take_value(ctl, c - OPTION_VALUE, optarg);
			continue;
		}
		switch (c) {
		case 'c': ctl->config_path = optarg; break;
		case 's': ctl->socket_path = optarg; break;
		case 'd': ctl->conninfo = take_secret(optarg); break;
		case 'V': found.version = true; break;
		case 'h': found.help = true; break;
		case COMMANDS_VALUE: found.commands = true; break;
		default: exit(EXIT_FAILED);	/* getopt_long() has said why */
		}
	}
	found.words = optind;
	return found;
}

const char *options_name(enum ctl_option option)
{
	return options[option].name;
}

static void print_option(const char *left, const char *help)
{
	printf("  %-*s%s\n", OPTIONS_HELP_WIDTH, left, help);
}

void options_print(void)
{
	char left[64];

	print_option("-c FILE", "configuration (default " CONFIG_DEFAULT_PATH ")");
	print_option("-s SOCKET", "the daemon's control socket");
	print_option("-d CONNINFO", "the database");
	for (int i = 0; i < CTL_OPTIONS; i++) {
		snprintf(left, sizeof(left), "--%s %s", options[i].name,
			 options[i].argument ? options[i].argument : "");
		print_option(left, options[i].help);
	}
	print_option("-V, --version", "print the version");
	print_option("-h, --help", "print this");
}
