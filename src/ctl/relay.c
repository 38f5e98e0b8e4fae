/*
 * Passing words on to the daemon, and telling which it knows: its own answer where one answers,
 * else the table that it shares with us.
 */
#include "relay.h"

#include <stdio.h>
#include <string.h>

#include "control/grammar.h"
#include "control/protocol.h"
#include "ctl/ask.h"

#define ANSWER_CAP_BYTES (16 << 20)

/* ---- help ---- */

/* But for `help`, which is gradingctl's own: nobody gets the daemon's by that word. */
static void print_indented(const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, "help ", 5) != 0)
			printf("  %.*s\n", (int)strcspn(line, "\n"), line);
}

/* A daemon of another version may know other words: those that it names are the true ones. */
void relay_print_help(struct ctl *ctl)
{
	struct err err;
	struct buf words;

	buf_init(&words, ANSWER_CAP_BYTES);
	if (ctl_ask(ctl, "help", &words, &err) == 0) {
		printf("\nWhat the gradingd at %s answers to:\n\n", ctl->asked);
	} else {
		printf("\nWhat a gradingd answers to (%s):\n\n", err.text);
		buf_reset(&words);
		grammar_help(&words);
	}
	print_indented(buf_text(&words));
	buf_free(&words);
}

/* `help` is a command of gradingctl's own as well. */
void relay_print_words(void)
{
	for (int i = 0; i < COMMAND_COUNT; i++)
		if (grammar[i].help && i != COMMAND_HELP)
			puts(grammar[i].words);
}

/* ---- asking ---- */

/* Whether a daemon of our own version would know a word that begins so. */
static bool daemon_knows(const char *word)
{
	char usage[GRAMMAR_USAGE_SIZE];

	for (int i = 0; i < COMMAND_COUNT; i++)
		if (grammar[i].help && strncmp(grammar_usage((enum control_command)i, usage), word,
					       strlen(word)) == 0)
			return true;
	return false;
}

static int join_words(char **words, int n, bool json, struct buf *line, struct err *err)
{
	for (int i = 0; i < n; i++) {
		for (const char *p = words[i]; *p; p++)
			if ((unsigned char)*p < ' ')
				return err_set(err, ERR_PERMANENT,
					       "words hold no control characters");
		buf_printf(line, i ? " %s" : "%s", words[i]);
	}
	if (json)
		buf_str(line, " json");
	return buf_ok(line) ? 0 : err_set(err, ERR_PERMANENT, "the words are too long together");
}

/* Words are passed on as they are: the daemon has the table of them, and checks them. */
int relay_words(struct ctl *ctl, char **words, int n)
{
	bool json = ctl->option[CTL_JSON] && strncmp("show", words[0], strlen(words[0])) == 0;
	struct buf line, answer;
	struct err err, lost;
	int result;

	buf_init(&line, CONTROL_LINE_CAP);
	buf_init(&answer, ANSWER_CAP_BYTES);
	result = join_words(words, n, json, &line, &err);
	if (result == 0)
		result = ctl_ask(ctl, buf_text(&line), &answer, &err);
	if (result == 0)
		term_print(&ctl->out, buf_text(&answer));
	else if (err.kind != ERR_CONFIG && !daemon_knows(words[0]))
		err_set(&err, ERR_PERMANENT,
			"there is no command \"%.40s\"; `gradingctl help` lists them", words[0]);
	buf_free(&line);
	buf_free(&answer);
	if (result == -1 && err.kind == ERR_LOST) {
		lost = err;
		err_set(&err, ERR_LOST, "%s; `gradingctl doctor` looks for what is wrong, "
			"-s SOCKET asks another one", lost.text);
	}
	return result == 0 ? EXIT_STOPPED : ctl_fail(ctl, &err);
}
