/*
 * gradingd: options, configuration, then the supervisor. Everything that needs a library of its own
 * (the database, the provider) happens in children.
 */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "check.h"
#include "config.h"
#include "daemon.h"
#include "log.h"
#include "notify.h"
#include "restart.h"
#include "scoreboard.h"
#include "supervisor.h"

struct arguments {
	const char *config_path;
	const char *pid_file;
	bool daemon, test, once;
	int64_t max_jobs;
};

static const char usage[] =
	"usage: gradingd [-c FILE] [-d [-p PIDFILE]]\n"
	"       gradingd [-c FILE] --once [--max-jobs N]\n"
	"       gradingd [-c FILE] -t\n"
	"\n"
	"  -c FILE        configuration (default " CONFIG_DEFAULT_PATH ")\n"
	"  -d             become a daemon; returns when the pool is up\n"
	"  -p PIDFILE     with -d: where its pid goes (default: control.pid_file, or beside the socket)\n"
	"  -t             check configuration, database, schema, pool mode and rater, then exit\n"
	"  --once         drain the queue, print one line of JSON, exit\n"
	"  --max-jobs N   with --once: claim no more than N jobs\n"
	"  -V, --version  print the version\n"
	"  -h, --help     print this\n"
	"\n"
	"Exit status: 0 asked to stop, 1 failed, 75 try later, 78 wrong configuration.\n";

enum { OPTION_ONCE = 256, OPTION_MAX_JOBS };

static const struct option long_options[] = {
	{ "once", no_argument, NULL, OPTION_ONCE },
	{ "max-jobs", required_argument, NULL, OPTION_MAX_JOBS },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int64_t parse_count(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (*end || end == text || n < 1) {
		fprintf(stderr, "gradingd: --max-jobs: \"%s\" is no number above 0\n", text);
		exit(EXIT_FAILED);
	}
	return n;
}

static void print_keys(void)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	config_list(&out);
	fputs(buf_text(&out), stdout);
	buf_free(&out);
}

static struct arguments parse_arguments(int argc, char **argv)
{
	struct arguments a = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, "c:dp:tKVh", long_options, NULL)) != -1)
		switch (c) {
		case 'c': a.config_path = optarg; break;
		case 'd': a.daemon = true; break;
		case 'p': a.pid_file = optarg; break;
		case 't': a.test = true; break;
		case OPTION_ONCE: a.once = true; break;
		case OPTION_MAX_JOBS: a.max_jobs = parse_count(optarg); break;
		case 'K': print_keys(); exit(EXIT_STOPPED);
		case 'V': puts("gradingd " VERSION); exit(EXIT_STOPPED);
		case 'h': fputs(usage, stdout); exit(EXIT_STOPPED);
		default: fputs(usage, stderr); exit(EXIT_FAILED);
		}
	if (optind < argc || a.daemon + a.test + a.once > 1 || (a.max_jobs && !a.once) ||
	    (a.pid_file && !a.daemon)) {
		fputs(usage, stderr);
		exit(EXIT_FAILED);
	}
	return a;
}

/* In a child, because it needs libpq and perhaps libcurl. */
static int run_check(const struct config *config)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		log_identify("check", -1);
		log_set_level(LOG_LEVEL_ERROR);
		exit(check_main(config));
	}
	if (pid == -1 || waitpid(pid, &status, 0) == -1 || !WIFEXITED(status))
		return EXIT_FAILED;
	return WEXITSTATUS(status);
}

/* -p, or what the configuration says. The daemon will be in /, so a relative path is made absolute. */
static const char *pid_file_path(const struct arguments *a, const struct config *config)
{
	static char path[PATH_MAX];
	size_t n;

	if (!a->pid_file)
		return config->control.pid_file;
	if (a->pid_file[0] == '/' || !realpath(".", path))
		return a->pid_file;
	n = strlen(path);
	snprintf(path + n, sizeof(path) - n, "/%s", a->pid_file);
	return path;
}

static int complain(const struct err *err)
{
	fprintf(stderr, "gradingd: %s\n", err->text);
	return err->kind == ERR_CONFIG ? EXIT_BAD_CONFIG : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct arguments a = parse_arguments(argc, argv);
	struct supervisor_options options = { .once = a.once, .max_jobs = a.max_jobs, .ready_fd = -1 };
	struct scoreboard *sb;
	struct config *config;
	struct err err;

	config = config_load(a.config_path, &err);
	if (!config)
		return complain(&err);
	options.config_path = strdup(config->path);	/* outlives reloads, which replace the rest */
	if (a.test)
		return run_check(config);
	/* A daemon has no standard error: what would go there goes to syslog. */
	if (log_open(a.daemon && strcmp(config->log.to, "stderr") == 0 ? "syslog" : config->log.to,
		     (enum log_level)config->log.level, &err) == -1)
		return complain(&err);
	if (a.daemon) {
		options.pid_file = pid_file_path(&a, config);
		options.ready_fd = daemon_start(&err);
		if (options.ready_fd == -1)
			return complain(&err);
	}
	notify_init();
	log_identify("supervisor", -1);
	sb = scoreboard_new();
	if (!sb) {
		err_set(&err, ERR_RETRY, "no memory for the scoreboard");
		return complain(&err);
	}
	return supervisor_run(config, sb, &options);
}
