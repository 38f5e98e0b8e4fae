/*
 * The settings of Postgres under which the daemon's statements run, as the statements that make
 * them: once a session, or in front of each statement. Text alone: pg.c sends it, and gradingctl
 * doctor, which explains the statements' plans under the same settings.
 */
#include "pg/pgsettings.h"

/*
 * Name and value, quoted, of what holds for our statements. Sequential scans are off: every
 * run-time statement has its index, and a plan prepared while the tables were empty must not stay
 * when they have grown. Nested loops are left to where nothing else will do, since the planner
 * takes a batch for a single row. One plan a statement: to look for better ones with each batch's
 * values costs more than to run it.
 */
#define SETTINGS(X) \
	X("'statement_timeout'", "'25s'") \
	X("'lock_timeout'", "'3s'") \
	OTHER_SETTINGS(X)
#define BRIEF_SETTINGS(X) \
	X("'statement_timeout'", "'5s'") \
	X("'lock_timeout'", "'500ms'")
#define OTHER_SETTINGS(X) \
	X("'idle_in_transaction_session_timeout'", "'60s'") \
	X("'enable_seqscan'", "'off'") \
	X("'enable_nestloop'", "'off'") \
	X("'jit'", "'off'")
/*
 * The server's end of the connection: it notices as soon as we do that the other one is gone, and
 * lets its locks go.
 */
#define SESSION_SETTINGS(X) \
	X("'default_transaction_isolation'", "'read committed'") \
	X("'plan_cache_mode'", "'force_generic_plan'") \
	X("'idle_session_timeout'", "'0'") \
	X("'tcp_keepalives_idle'", "'10'") \
	X("'tcp_keepalives_interval'", "'5'") \
	X("'tcp_keepalives_count'", "'3'") \
	X("'tcp_user_timeout'", "'20s'")

/*
 * What an operator set in the conninfo's `options` (or PGOPTIONS) stays as it is; older servers
 * know fewer of them.
 */
const char pgsettings_session[] =
	"SELECT set_config(ours.name, ours.value, false) FROM (VALUES"
#define X(name, value) " (" name ", " value "),"
	SETTINGS(X) SESSION_SETTINGS(X)
#undef X
	" ('application_name', NULL)) AS ours(name, value) WHERE ours.value IS NOT NULL AND EXISTS"
	" (SELECT FROM pg_settings s WHERE s.name = ours.name AND s.source <> 'client')";

/*
 * Behind a transaction pooler nothing lasts longer than a transaction: these go in front of each
 * statement. A query may say which level a transaction has, but not change it: where it begins
 * otherwise the second is refused (25001) without the first. That one sets the level for this
 * transaction alone, although it is no SET LOCAL: that warns outside of a block, each time.
 */
const char pgsettings_isolation[] = "SET transaction_isolation = 'read committed'";
#define X(name, value) ", set_config(" name ", " value ", true)"
const char pgsettings_transaction[] =
	"SELECT set_config('transaction_isolation', 'read committed', true)" SETTINGS(X);
const char pgsettings_transaction_brief[] =
	"SELECT set_config('transaction_isolation', 'read committed', true)"
	BRIEF_SETTINGS(X) OTHER_SETTINGS(X);
#undef X

/* Whatever an operator set: it is for statements that wait for nobody. */
const char pgsettings_session_brief[] = "SELECT 1"
#define X(name, value) ", set_config(" name ", " value ", false)"
	BRIEF_SETTINGS(X);
#undef X
