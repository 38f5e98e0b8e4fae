/*
 * gradingctl: options, the table of its own commands, and passing all other words on to the daemon.
 * What the commands do is in ctl_*.c.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "config/config_load.h"
#include "control/commands.h"
#include "control/server.h"
#include "ctl/ctl.h"
#include "ctl/ctl_socket.h"

#define ANSWER_CAP_BYTES (16 << 20)
#define USAGE_WIDTH 36

/* ---- options ---- */

/* argument NULL: a flag. Values begin as preset, which need not lie within min and max; without a range: a text. */
static const struct {
	const char *name, *argument;
	int64_t min, max, preset;
	const char *help;
} options[CTL_OPTIONS] = {
	[CTL_JSON] = { "json", NULL, 0, 1, 0, "answer with JSON" },
	[CTL_STATUS] = { "status", NULL, 0, 1, 0, "migrate: only say how it stands" },
	[CTL_WAIT] = { "wait", NULL, 0, 1, 0, "enqueue: show progress until all is rated" },
	[CTL_BATCH_SIZE] = { "batch-size", "N", 1, 1000, 5, "enqueue: lines a job (5)" },
	[CTL_PRIORITY] = { "priority", "N", INT32_MIN, INT32_MAX, 0, "enqueue: higher is rated first (0)" },
	[CTL_SINCE] = { "since", "CURSOR", 0, INT64_MAX, 0, "ratings: only what came after it" },
	[CTL_MODEL] = { "model", "NAME", 0, 0, 0, "cache drop: entries of this model" },
	[CTL_PROMPT] = { "prompt", "HASH", 0, 0, 0, "cache drop: entries of this prompt" },
	[CTL_ALL] = { "all", NULL, 0, 1, 0, "cache drop: all entries" },
	[CTL_FAILED] = { "failed", NULL, 0, 1, 0, "jobs: those that failed; retry: all of them" },
	[CTL_PENDING] = { "pending", NULL, 0, 1, 0, "jobs: those that wait" },
	[CTL_PROCESSING] = { "processing", NULL, 0, 1, 0, "jobs: those that are being rated" },
	[CTL_LIMIT] = { "limit", "N", 1, 1000000, 50, "jobs: no more than N (50)" },
};

/* What getopt_long() returns for them; above any letter, below it for the hidden --commands. */
#define OPTION_VALUE 256
#define COMMANDS_VALUE 255

struct arguments {
	unsigned given;		/* a bit for each of options[] */
	bool help, version, commands;
};

/* ---- commands ---- */

static ctl_command_fn ctl_version, ctl_help;

#define TAKES(option) (1u << (option))

static const struct command {
	const char *name, *args;
	int min_args, max_args;
	unsigned takes;		/* options */
	ctl_command_fn *run;
	const char *help;
} commands[] = {
	{ "migrate", "[--status]", 0, 0, TAKES(CTL_JSON) | TAKES(CTL_STATUS), ctl_migrate,
	  "bring the database's schema up to date" },
	{ "enqueue", "FILE|-... [--wait]", 1, 10000, TAKES(CTL_JSON) | TAKES(CTL_WAIT) |
	  TAKES(CTL_BATCH_SIZE) | TAKES(CTL_PRIORITY), ctl_enqueue,
	  "have transcripts rated: JSON, one or many" },
	{ "progress", "SESSION", 1, 1, TAKES(CTL_JSON), ctl_progress, "how far a session is" },
	{ "ratings", "SESSION [--since CURSOR]", 1, 1, TAKES(CTL_JSON) | TAKES(CTL_SINCE), ctl_ratings,
	  "its ratings so far" },
	{ "jobs", "[--failed]", 0, 0, TAKES(CTL_JSON) | TAKES(CTL_FAILED) | TAKES(CTL_PENDING) | TAKES(CTL_PROCESSING) |
	  TAKES(CTL_LIMIT), ctl_jobs, "jobs that wait, are rated or have failed, and why" },
	{ "retry", "SESSION... | --failed", 0, 10000, TAKES(CTL_JSON) | TAKES(CTL_FAILED), ctl_retry,
	  "put failed jobs back into the queue" },
	{ "cancel", "SESSION...", 1, 10000, TAKES(CTL_JSON), ctl_cancel, "end jobs that wait or are being rated" },
	{ "cache", "[drop]", 0, 1, TAKES(CTL_JSON) | TAKES(CTL_MODEL) | TAKES(CTL_PROMPT) | TAKES(CTL_ALL), ctl_cache,
	  "the phrase cache: what it holds, hit rate, dropping" },
	{ "doctor", "", 0, 0, TAKES(CTL_JSON), ctl_doctor, "look for what is wrong, and say what to do" },
	{ "version", "", 0, 0, TAKES(CTL_JSON), ctl_version, "the version of gradingctl" },
	{ "help", "", 0, 0, 0, ctl_help, "this list" },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char usage[] =
	"usage: gradingctl [-c FILE | -s SOCKET] [-d CONNINFO] [--json] WORDS...\n"
	"\n"
	"  -c FILE                             configuration (default " CONFIG_DEFAULT_PATH ")\n"
	"  -s SOCKET                           the daemon's control socket\n"
	"  -d CONNINFO                         the database\n";

static int ctl_version(struct ctl *ctl, char **args, int n)
{
	(void)args, (void)n;
	puts(ctl->option[CTL_JSON] ? "{\"version\": \"" VERSION "\"}" : "gradingctl " VERSION);
	return EXIT_STOPPED;
}

static void print_usage(void)
{
	char left[64];

	fputs(usage, stdout);
	for (int i = 0; i < CTL_OPTIONS; i++) {
		snprintf(left, sizeof(left), "--%s %s", options[i].name,
			 options[i].argument ? options[i].argument : "");
		printf("  %-*s%s\n", USAGE_WIDTH, left, options[i].help);
	}
	printf("  %-*s%s\n  %-*s%s\n\n", USAGE_WIDTH, "-V, --version", "print the version", USAGE_WIDTH,
	       "-h, --help", "print this");
	for (size_t i = 0; i < COMMANDS; i++) {
		snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].args);
		printf("  %-*s%s\n", USAGE_WIDTH, left, commands[i].help);
	}
	printf("\nExit status: 0 done, 1 failed, %d try later, %d wrong configuration, %d interrupted.\n",
	       EXIT_TRY_LATER, EXIT_BAD_CONFIG, EXIT_INTERRUPTED);
}

static void print_indented(const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		printf("  %.*s\n", (int)strcspn(line, "\n"), line);
}

/* A daemon of another version may know other words: those that it names are the true ones. */
static int ctl_help(struct ctl *ctl, char **args, int n)
{
	struct err err;
	struct buf words;
	const char *path = ctl_socket_path(ctl, &err);

	(void)args, (void)n;
	buf_init(&words, ANSWER_CAP_BYTES);
	print_usage();
	if (path && ctl_socket_ask(path, "help", &words, &err) == 0) {
		printf("\nWhat the gradingd at %s answers to:\n\n", path);
	} else {
		printf("\nWhat a gradingd answers to (%s):\n\n", err.text);
		buf_reset(&words);
		command_help(&words);
	}
	print_indented(buf_text(&words));
	buf_free(&words);
	return EXIT_STOPPED;
}

/* ---- the daemon's words ---- */

/* Length of the words that begin a line of command_help(): up to the first argument, or the gap. */
static size_t words_len(const char *line)
{
	size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz "), gap;
	const char *two = strstr(line, "  ");

	gap = two ? (size_t)(two - line) : len;
	len = gap < len ? gap : len;
	while (len > 0 && line[len - 1] == ' ')
		len--;
	return len;
}

/* For the check that the manual page names every command. */
static void print_commands(void)
{
	struct buf help;

	for (size_t i = 0; i < COMMANDS; i++)
		puts(commands[i].name);
	buf_init(&help, ANSWER_CAP_BYTES);
	command_help(&help);
	for (const char *line = buf_text(&help); *line; line += strcspn(line, "\n") + 1)
		if (strncmp(line, "help", 4) != 0)
			printf("%.*s\n", (int)words_len(line), line);
	buf_free(&help);
}

/* Whether a daemon of our own version would know a word that begins so. */
static bool daemon_knows(const char *word)
{
	struct buf help;
	bool known = false;

	buf_init(&help, ANSWER_CAP_BYTES);
	command_help(&help);
	for (const char *line = buf_text(&help); *line && !known; line += strcspn(line, "\n") + 1)
		known = strncmp(line, word, strlen(word)) == 0;
	buf_free(&help);
	return known;
}

static int join_words(char **words, int n, bool json, struct buf *line, struct err *err)
{
	for (int i = 0; i < n; i++) {
		for (const char *p = words[i]; *p; p++)
			if ((unsigned char)*p < ' ')
				return err_set(err, ERR_PERMANENT, "words hold no control characters");
		buf_printf(line, i ? " %s" : "%s", words[i]);
	}
	if (json)
		buf_str(line, " json");
	return buf_ok(line) ? 0 : err_set(err, ERR_PERMANENT, "the words are too long together");
}

/* Words are passed on as they are: the daemon has the table of them, and checks them. */
static int ask_daemon(struct ctl *ctl, char **words, int n)
{
	bool json = ctl->option[CTL_JSON] && strncmp("show", words[0], strlen(words[0])) == 0;
	struct buf line, answer;
	struct err err;
	const char *path = NULL;
	int result;

	buf_init(&line, CONTROL_LINE_CAP);
	buf_init(&answer, ANSWER_CAP_BYTES);
	result = join_words(words, n, json, &line, &err);
	if (result == 0 && !(path = ctl_socket_path(ctl, &err)))
		result = -1;
	if (result == 0)
		result = ctl_socket_ask(path, buf_text(&line), &answer, &err);
	if (result == 0)
		term_print(&ctl->out, buf_text(&answer));
	else if (err.kind != ERR_CONFIG && !daemon_knows(words[0]))
		err_set(&err, ERR_PERMANENT, "there is no command \"%.40s\"; `gradingctl help` lists them",
			words[0]);
	buf_free(&line);
	buf_free(&answer);
	return result == 0 ? EXIT_STOPPED : ctl_fail(ctl, &err);
}

/* ---- the command line ---- */

static bool is_text(int i)
{
	return options[i].argument && options[i].min == options[i].max;
}

static int64_t parse_value(int i, const char *text)
{
	char *end;
	long long value;

	if (!options[i].argument)
		return 1;
	value = strtoll(text, &end, 10);
	if (*end || end == text || value < options[i].min || value > options[i].max) {
		fprintf(stderr, "gradingctl: --%s %s: must be a number from %" PRId64 " to %" PRId64 "\n",
			options[i].name, text, options[i].min, options[i].max);
		exit(EXIT_FAILED);
	}
	return value;
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
			options[i].argument ? required_argument : no_argument, NULL, OPTION_VALUE + i };
	*out++ = (struct option){ "commands", no_argument, NULL, COMMANDS_VALUE };
	*out++ = (struct option){ "version", no_argument, NULL, 'V' };
	*out++ = (struct option){ "help", no_argument, NULL, 'h' };
	*out = (struct option){ 0 };
}

static struct arguments parse_arguments(struct ctl *ctl, int argc, char **argv)
{
	struct option long_options[CTL_OPTIONS + 4];
	struct arguments a = { 0 };
	int c;

	for (int i = 0; i < CTL_OPTIONS; i++)
		ctl->option[i] = options[i].preset;
	fill_long_options(long_options);
	while ((c = getopt_long(argc, argv, "c:s:d:Vh", long_options, NULL)) != -1) {
		if (c >= OPTION_VALUE) {
			a.given |= TAKES(c - OPTION_VALUE);
			if (is_text(c - OPTION_VALUE)) {
				ctl->text[c - OPTION_VALUE] = optarg;
				continue;
			}
			ctl->option[c - OPTION_VALUE] = parse_value(c - OPTION_VALUE, optarg);
			continue;
		}
		switch (c) {
		case 'c': ctl->config_path = optarg; break;
		case 's': ctl->socket_path = optarg; break;
		case 'd': ctl->conninfo = take_secret(optarg); break;
		case 'V': a.version = true; break;
		case 'h': a.help = true; break;
		case COMMANDS_VALUE: a.commands = true; break;
		default: exit(EXIT_FAILED);	/* getopt_long() has said why */
		}
	}
	return a;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int run(struct ctl *ctl, const struct arguments *a, char **words, int n)
{
	const struct command *command = n > 0 ? find_command(words[0]) : NULL;
	unsigned takes = command ? command->takes : TAKES(CTL_JSON);

	if (n == 0) {
		ctl_complain(ctl, "what? `gradingctl help` lists the commands");
		return EXIT_FAILED;
	}
	for (int i = 0; i < CTL_OPTIONS; i++)
		if (a->given & ~takes & TAKES(i)) {
			ctl_complain(ctl, "`%s` takes no --%s", words[0], options[i].name);
			return EXIT_FAILED;
		}
	if (!command)
		return ask_daemon(ctl, words, n);
	if (n - 1 < command->min_args || n - 1 > command->max_args) {
		ctl_complain(ctl, "usage: gradingctl %s%s%s", command->name, *command->args ? " " : "", command->args);
		return EXIT_FAILED;
	}
	return command->run(ctl, words + 1, n - 1);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	struct arguments a = parse_arguments(&ctl, argc, argv);
	int status = EXIT_STOPPED;

	term_open(&ctl.out, stdout);
	term_open(&ctl.err, stderr);
	if (a.help)
		print_usage();
	else if (a.version)
		ctl_version(&ctl, NULL, 0);
	else if (a.commands)
		print_commands();
	else
		status = run(&ctl, &a, argv + optind, argc - optind);
	config_free(ctl.config);
	free(ctl.conninfo);
	if (fflush(stdout) == EOF || ferror(stdout)) {
		ctl_complain(&ctl, "cannot write to standard output");
		return EXIT_FAILED;
	}
	return status;
}
