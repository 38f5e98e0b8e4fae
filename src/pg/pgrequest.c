/*
 * What is on its way to Postgres: the list of requests, and writing one. It waits for nothing and
 * calls nobody back.
 */
#include "pgrequest.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "pg/pgsettings.h"

void pgrequests_init(struct pgrequests *list)
{
	*list = (struct pgrequests){ .tail = &list->head };
}

struct pgrequest *pgrequests_add(struct pgrequests *list, const struct statement *statement,
				 pg_answer_fn *answer, void *arg)
{
	struct pgrequest *r = xcalloc(1, sizeof(*r));

	*r = (struct pgrequest){ .statement = statement, .answer = answer, .arg = arg };
	*list->tail = r;
	list->tail = &r->next;
	return r;
}

void pgrequests_mark_sent(struct pgrequests *list, struct pgrequest *r)
{
	r->sent_ms = now_ms();
	list->sent++;
}

struct pgrequest *pgrequests_pop(struct pgrequests *list)
{
	struct pgrequest *r = list->head;

	list->head = r->next;
	if (!list->head)
		list->tail = &list->head;
	return r;
}

const char *pgrequest_name(const struct pgrequest *r)
{
	return r->statement ? r->statement->name : "set-up";
}

void pgrequest_free(struct pgrequest *r)
{
	for (int i = 0; r->params && i < r->statement->nparams; i++)
		buf_free(&r->params[i]);
	free(r->params);
	PQclear(r->result);
	free(r);
}

void pgrequest_keep_params(struct pgrequest *r, const struct buf *params)
{
	r->params = xcalloc((size_t)r->statement->nparams, sizeof(*r->params));
	for (int i = 0; i < r->statement->nparams; i++) {
		buf_init(&r->params[i], params[i].len);
		buf_add(&r->params[i], params[i].data, params[i].len);
		if (!buf_ok(&r->params[i]))
			fatal("out of memory: cannot keep a statement's parameters");
	}
}

/* The error that may follow is that of the commit, at the sync. */
void pgrequest_keep_result(struct pgrequest *r, PGresult *result)
{
	if (r->result && PQresultStatus(result) != PGRES_FATAL_ERROR) {
		PQclear(result);
		return;
	}
	PQclear(r->result);
	r->result = result;
}

static bool write_text(PGconn *conn, const char *text)
{
	return PQsendQueryParams(conn, text, 0, NULL, NULL, NULL, NULL, 1);
}

static bool write_preface(PGconn *conn, enum preface preface, bool brief)
{
	return (preface < PREFACE_LEVEL || write_text(conn, pgsettings_isolation)) &&
	       write_text(conn, brief ? pgsettings_transaction_brief : pgsettings_transaction);
}

/* Values and columns are binary. */
bool pgrequest_write(PGconn *conn, enum preface preface, bool brief, const struct statement *st,
		     const struct buf *params)
{
	const char *values[STATEMENT_MAX_PARAMS];
	int lengths[STATEMENT_MAX_PARAMS], formats[STATEMENT_MAX_PARAMS], sent;

	for (int i = 0; i < st->nparams; i++) {
		values[i] = buf_text(&params[i]);
		lengths[i] = (int)params[i].len;
		formats[i] = 1;
	}
	if (preface == PREFACE_NONE)
		sent = PQsendQueryPrepared(conn, st->name, st->nparams, values, lengths, formats,
					   1);
	else
		sent = write_preface(conn, preface, brief) &&
			PQsendQueryParams(conn, st->text, st->nparams, NULL, values, lengths,
					  formats, 1);
	return sent && PQpipelineSync(conn);
}
