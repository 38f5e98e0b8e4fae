/*
 * gradingctl: the table of its own commands, and what is done with the words of a command line. It
 * alone knows all commands; what each does is in cmd_*.c and in the room ctl/doctor, and words that
 * are no command of ours are the daemon's.
 */
#include <stdio.h>
#include <string.h>

#include "base/descriptors.h"
#include "ctl/cmd.h"
#include "ctl/doctor/doctor.h"
#include "options.h"
#include "relay.h"

/* ---- commands ---- */

static cmd_fn cmd_version, cmd_help;

#define TAKES(option) OPTION_BIT(CTL_##option)

static const struct command {
	const char *name, *args;
	int min_args, max_args;
	unsigned takes;		/* set of options */
	cmd_fn *run;
	const char *help;
} commands[] = {
	{ "migrate", "[--status]", 0, 0, TAKES(JSON) | TAKES(STATUS), cmd_migrate,
	  "bring the database's schema up to date" },
	{ "enqueue", "FILE|-... [--wait]", 1, 10000,
	  TAKES(JSON) | TAKES(WAIT) | TAKES(BATCH_SIZE) | TAKES(PRIORITY), cmd_enqueue,
	  "have transcripts rated: JSON, one or many" },
	{ "progress", "SESSION", 1, 1, TAKES(JSON), cmd_progress, "how far a session is" },
	{ "ratings", "SESSION [--since CURSOR] [--csv]", 1, 1,
	  TAKES(JSON) | TAKES(CSV) | TAKES(SINCE), cmd_ratings,
	  "its ratings so far" },
	{ "jobs", "[--failed | --incomplete]", 0, 0,
	  TAKES(JSON) | TAKES(FAILED) | TAKES(PENDING) | TAKES(PROCESSING) | TAKES(INCOMPLETE) |
	  TAKES(LIMIT), cmd_jobs,
	  "jobs that wait, are rated or have failed, and why" },
	{ "retry", "SESSION... | --failed | --incomplete", 0, 10000,
	  TAKES(JSON) | TAKES(FAILED) | TAKES(INCOMPLETE), cmd_retry,
	  "put failed jobs back into the queue" },
	{ "cancel", "SESSION...", 1, 10000, TAKES(JSON), cmd_cancel,
	  "end jobs that wait or are being rated" },
	{ "forget", "SESSION...", 1, 10000, TAKES(JSON), cmd_forget,
	  "remove all that is kept of a session" },
	{ "export", "[--since TIME | --after CURSOR]", 0, 0,
	  TAKES(JSON) | TAKES(SINCE) | TAKES(AFTER), cmd_export,
	  "all ratings as JSON lines, also only what is new" },
	{ "cache", "[drop]", 0, 1,
	  TAKES(JSON) | TAKES(PHRASE) | TAKES(MODEL) | TAKES(PROMPT) | TAKES(ALL), cmd_cache,
	  "the phrase cache: what it holds, hit rate, dropping" },
	{ "webhooks", "[list | retry | enable NAME...]", 0, 10000,
	  TAKES(JSON) | TAKES(FAILED) | TAKES(PENDING) | TAKES(LIMIT), cmd_webhooks,
	  "who is told of sessions; what was given up, again" },
	{ "doctor", "", 0, 0, TAKES(JSON), cmd_doctor,
	  "look for what is wrong, and say what to do" },
	{ "version", "", 0, 0, TAKES(JSON), cmd_version, "the version of gradingctl" },
	{ "help", "", 0, 0, 0, cmd_help, "this list" },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int cmd_version(struct ctl *ctl, char **args, int n)
{
	(void)args, (void)n;
	puts(ctl->option[CTL_JSON] ? "{\"version\": \"" VERSION "\"}" : "gradingctl " VERSION);
	return EXIT_STOPPED;
}

static void print_usage(void)
{
	char left[64];

	puts("usage: gradingctl [-c FILE | -s SOCKET] [-d CONNINFO] [--json] WORDS...\n");
	options_print();
	puts("");
	for (size_t i = 0; i < COMMANDS; i++) {
		snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].args);
		printf("  %-*s%s\n", OPTIONS_HELP_WIDTH, left, commands[i].help);
	}
	printf("\nExit status: 0 done, 1 failed, %d try later, %d wrong configuration, %d "
	       "interrupted.\n",
	       EXIT_TRY_LATER, EXIT_BAD_CONFIG, EXIT_INTERRUPTED);
}

static int cmd_help(struct ctl *ctl, char **args, int n)
{
	(void)args, (void)n;
	print_usage();
	relay_print_help(ctl);
	return EXIT_STOPPED;
}

static void print_commands(void)
{
	for (size_t i = 0; i < COMMANDS; i++)
		puts(commands[i].name);
	relay_print_words();
}

/* ---- the command line ---- */

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int run(struct ctl *ctl, const struct options *o, char **words, int n)
{
	const struct command *command = n > 0 ? find_command(words[0]) : NULL;
	unsigned takes = command ? command->takes : TAKES(JSON);

	if (n == 0) {
		ctl_complain(ctl, "what? `gradingctl help` lists the commands");
		return EXIT_FAILED;
	}
	for (int i = 0; i < CTL_OPTIONS; i++)
		if (o->given & ~takes & OPTION_BIT(i)) {
			ctl_complain(ctl, "`%s` takes no --%s", words[0],
				     options_name((enum ctl_option)i));
			return EXIT_FAILED;
		}
	if (!command)
		return relay_words(ctl, words, n);
	if (n - 1 < command->min_args || n - 1 > command->max_args) {
		ctl_complain(ctl, "usage: gradingctl %s%s%s", command->name,
			     *command->args ? " " : "", command->args);
		return EXIT_FAILED;
	}
	return command->run(ctl, words + 1, n - 1);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	struct options o;
	int status = EXIT_STOPPED;

	if (descriptors_fill() == -1)
		return EXIT_FAILED;	/* without /dev/null, and perhaps nowhere to say so */
	o = options_parse(&ctl, argc, argv);
	term_open(&ctl.out, stdout);
	term_open(&ctl.err, stderr);
	if (o.help)
		print_usage();
	else if (o.version)
		cmd_version(&ctl, NULL, 0);
	else if (o.commands)
		print_commands();
	else
		status = run(&ctl, &o, argv + o.words, argc - o.words);
	ctl_free(&ctl);
	if (fflush(stdout) == EOF || ferror(stdout)) {
		ctl_complain(&ctl, "cannot write to standard output");
		return EXIT_FAILED;
	}
	return status;
}
