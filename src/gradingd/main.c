/*
 * gradingd: options, configuration, then the supervisor. Everything that needs a library of its own
 * (the database, the provider) happens in children.
 */
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/descriptors.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "base/place.h"
#include "config/config.h"
#include "config/config_check.h"
#include "config/config_load.h"
#include "config/config_show.h"
#include "control/control_socket.h"
#include "janitor/janitor_role.h"
#include "process/daemon.h"
#include "process/environment.h"
#include "process/notify.h"
#include "publisher/publisher_role.h"
#include "scoreboard/scoreboard.h"
#include "supervisor/roles.h"
#include "supervisor/supervisor.h"
#include "worker/worker_role.h"
#include "check.h"

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
	"  -p PIDFILE     with -d: where its pid goes (default: control.pid_file,"
	" or beside the socket)\n"
	"  -t             check configuration, database, schema, pool mode and rater, then exit\n"
	"  --once         drain the queue, print one line of JSON, exit\n"
	"  --max-jobs N   with --once: claim no more than N jobs\n"
	"  -V, --version  print the version\n"
	"  -h, --help     print this\n"
	"\n"
	"Exit status: 0 asked to stop, 1 failed, 75 try later, 78 wrong configuration.\n";

/* The one place that knows all roles. */
static const struct role_ops roles[ROLE_COUNT] = {
	[ROLE_JANITOR] = { "janitor", janitor_main },
	[ROLE_WORKER] = { "worker", worker_main },
	[ROLE_PUBLISHER] = { "publisher", publisher_main },
};

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

static void __attribute__((noreturn)) refuse(const char *what, const char *why)
{
	fprintf(stderr, "gradingd: %s %s\n%s", what, why, usage);
	exit(EXIT_FAILED);
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
	if (optind < argc)
		refuse(argv[optind], "is no option");
	if (a.daemon + a.test + a.once > 1)
		refuse("-d, -t, --once:", "give one of them");
	if (a.max_jobs && !a.once)
		refuse("--max-jobs", "goes with --once");
	if (a.pid_file && !a.daemon)
		refuse("-p", "goes with -d");
	return a;
}

static int complain(const struct err *err)
{
	fprintf(stderr, "gradingd: %s\n", err->text);
	return err->kind == ERR_CONFIG ? EXIT_BAD_CONFIG : EXIT_FAILED;
}

static void tell_mistake(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "gradingd: %s\n", text);
}

/* What was read as root a reload reads as pool.user. */
static int read_again(const struct config *config, struct err *err)
{
	struct config *fresh = config_load(config->path, err);
	struct err why = *err;

	if (!fresh)
		return err_set(err, ERR_CONFIG, "a reload would run as %s and fail: %s",
			       config->pool.user, why.text);
	config_free(fresh);
	return 0;
}

/* ---- what a start would come to before its first child, as its user ---- */

static int check_group(const struct config *config, struct err *err)
{
	if (!config->control.group[0] || getgrnam(config->control.group))
		return 0;
	return err_set(err, ERR_CONFIG, "control.group: there is no group \"%s\"",
		       config->control.group);
}

static int check_socket(const struct config *config, struct err *err)
{
	struct place_guest guest;
	int rc;

	if (place_enter(&guest, config->control.socket, config->pool.user, "", err) == -1)
		return -1;
	rc = control_socket_check(config->control.socket, err);
	place_leave(&guest);
	return rc;
}

static int check_log(const struct config *config, struct err *err)
{
	int rc = daemon_open_log(config, false, err);

	log_set_level(LOG_LEVEL_ERROR);		/* what is found is said on standard output */
	return rc;
}

static int check_user(const struct config *config, struct err *err)
{
	static const char *const no_paths[] = { NULL };
	bool drops = geteuid() == 0 && config->pool.user[0];

	if (drop_privileges(config->pool.user, no_paths, err) == -1)
		return -1;
	return drops ? read_again(config, err) : 0;
}

/* All that is wrong is said. -1: without pool.user nothing more can be found out. */
static int check_start(const struct config *config, int *status)
{
	static int (*const checks[])(const struct config *, struct err *) = {
		check_group, check_socket, check_log, check_user,
	};
	const int n = sizeof(checks) / sizeof(checks[0]);
	struct err err;
	int rc = 0;

	if (config->pool.user[0] && geteuid() == 0 && !getpwnam(config->pool.user)) {
		err_set(&err, ERR_CONFIG, "pool.user: there is no user \"%s\"",
			config->pool.user);
		*status = complain(&err);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		rc = checks[i](config, &err);
		if (rc == -1)
			*status = complain(&err);
	}
	return rc;
}

/*
 * In a child, because it needs libpq and perhaps libcurl, and becomes pool.user. Takes config over.
 */
static int run_check(struct config *config)
{
	int status = EXIT_STOPPED, more;
	pid_t pid = fork();

	if (pid == 0) {
		log_identify("check", -1);
		if (check_start(config, &status) == 0) {
			more = check_main(config);
			status = status == EXIT_STOPPED ? more : status;
		}
		config_free(config);
		exit(status);
	}
	config_free(config);
	if (pid == -1 || waitpid(pid, &status, 0) == -1 || !WIFEXITED(status))
		return EXIT_FAILED;
	return WEXITSTATUS(status);
}

/*
 * -p, or what the configuration says. The daemon will be in /, so a relative path is made absolute.
 */
static const char *pid_file_path(const struct arguments *a, const struct config *config)
{
	static char path[PATH_MAX];
	size_t n;

	if (!a->pid_file) {
		/* A copy, since it outlives reloads. */
		snprintf(path, sizeof(path), "%s", config->control.pid_file);
		return path;
	}
	if (a->pid_file[0] == '/' || !realpath(".", path))
		return a->pid_file;
	n = strlen(path);
	snprintf(path + n, sizeof(path) - n, "/%s", a->pid_file);
	return path;
}

/* Children go on using these, so they stay in the environment proper. */
static void hide_secrets(void)
{
	static const char *const names[] = {
		"PGPASSWORD", "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
	};

	environment_init(environ);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		environment_hide(names[i]);
}

static int give_up(struct config *config, const struct err *err)
{
	config_free(config);
	return complain(err);
}

int main(int argc, char **argv)
{
	static struct supervisor_options options;
	struct arguments a;
	struct scoreboard *sb;
	struct config *config;
	struct err err;

	if (descriptors_fill() == -1)
		return EXIT_FAILED;	/* without /dev/null, and perhaps nowhere to say so */
	a = parse_arguments(argc, argv);
	if (a.daemon)		/* a lock, or the end of a pipe, of whoever starts us */
		descriptors_close(STDERR_FILENO + 1, ~0U, 0);
	daemon_forbid_cores();
	hide_secrets();
	options = (struct supervisor_options){
		.once = a.once, .max_jobs = a.max_jobs, .ready_fd = -1,
		.roles = roles, .trial = check_reload_main,
	};
	config = config_load_telling(a.config_path, tell_mistake, NULL, &err);
	if (!config)
		return EXIT_BAD_CONFIG;		/* each mistake was told */
	config_each_variable(config, environment_hide);	/* read again at each reload */
	options.config_path = strdup(config->path);	/* outlives reloads */
	if (a.test)
		return run_check(config);
	if (daemon_open_log(config, a.daemon, &err) == -1)
		return give_up(config, &err);
	if (a.daemon) {
		options.pid_file = pid_file_path(&a, config);
		options.ready_fd = daemon_start(&err);
		if (options.ready_fd == -1)
			return give_up(config, &err);
	}
	notify_init();
	log_identify("supervisor", -1);
	sb = scoreboard_new();
	if (!sb) {
		err_set(&err, ERR_RETRY, "no memory for the scoreboard");
		return give_up(config, &err);
	}
	return supervisor_run(config, sb, &options);
}
