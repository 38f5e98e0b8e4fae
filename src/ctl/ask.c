/* Ways to the daemon, one after the other; gradingctl only. */
#include "ctl/ask.h"

#include <stdio.h>
#include <string.h>

#include "config/config_load.h"
#include "control/known_link.h"
#include "control_client.h"

/* -s, or what the configuration says; NULL and err. */
static const char *socket_path(struct ctl *ctl, struct err *err)
{
	if (ctl->socket_path)
		return ctl->socket_path;
	if (ctl_load_config(ctl, err) == -1)
		return NULL;
	if (!ctl->config)	/* a daemon may still run with the defaults */
		ctl->config = config_parse_string("", CONFIG_DEFAULT_PATH, err);
	return ctl->config ? ctl->config->control.socket : NULL;
}

static int ask_at(struct ctl *ctl, const char *path, const char *line, struct buf *out,
		  struct err *err)
{
	snprintf(ctl->asked, sizeof(ctl->asked), "%s", path);
	return control_client_ask(path, line, out, err);
}

static void tell_way(struct ctl *ctl, const struct known_link_search *link, const struct err *why)
{
	if (!ctl->link_told)
		ctl_complain(ctl, "%s; asked the gradingd at %s, by the link %s", why->text,
			     link->socket, link->link);
	ctl->link_told = true;
}

/* path: where nobody answered, "" for nowhere. False when no link leads to anybody either. */
static bool ask_by_link(struct ctl *ctl, const char *path, const char *line, struct buf *out,
			int *rc, struct err *err)
{
	struct known_link_search link;
	struct err answer = { .kind = ERR_NONE };

	known_link_begin(&link, ctl->config_path ? ctl->config_path : CONFIG_DEFAULT_PATH);
	while (known_link_next(&link)) {
		if (strcmp(link.socket, path) == 0)
			continue;
		*rc = ask_at(ctl, link.socket, line, out, &answer);
		if (*rc == 0 || answer.kind != ERR_LOST) {
			tell_way(ctl, &link, err);
			*err = answer;
			return true;
		}
		known_link_forget(&link);
	}
	return false;
}

int ctl_ask(struct ctl *ctl, const char *line, struct buf *out, struct err *err)
{
	const char *path = socket_path(ctl, err);
	int rc = path ? ask_at(ctl, path, line, out, err) : -1;
	size_t len;

	if (rc == 0 || ctl->socket_path || (path && err->kind != ERR_LOST) ||
	    ask_by_link(ctl, path ? path : "", line, out, &rc, err))
		return rc;
	snprintf(ctl->asked, sizeof(ctl->asked), "%s", path ? path : "");
	len = strlen(err->text);
	if (!path)
		snprintf(err->text + len, sizeof(err->text) - len,
			 " (a running daemon can be asked with -s SOCKET)");
	return -1;
}
