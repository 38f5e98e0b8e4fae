"""Nobody's operator or function is called in the daemon's name, or in that of who runs gradingctl.

Where others may create in the schema of our tables, an operator or a function whose argument types fit those of a call
better than pg_catalog's would be theirs. So each call of ours has the very types of something in pg_catalog, which is
looked at first. Here a role plants all that could fit better, and everything of ours is run beside it: with tables as
migrations make them, and with some that an application made, whose columns are of other types.
"""
import json
import os
import re

import psycopg
import pytest

import harness
from harness import gradingctl, new_session, rep, wait_until

HOSTILE = "planter"
TYPES = ["boolean", "integer", "bigint", "numeric", "double precision", "text", "varchar", "name", "uuid", "jsonb",
         "timestamptz", "interval", "oid", "tid", "text[]", "uuid[]", "integer[]", "jsonb[]"]
# Of the catalogs, for operators alone: functions of any type are too many with them.
CATALOG_TYPES = ["smallint", "regclass", '"char"', "xid", "pg_lsn", "name[]", "oid[]", "int2vector"]
# What columns of tables that an application made may have instead of ours.
ADOPTED_TYPES = ["smallint", "integer", "bigint", "numeric", "text", "varchar", "timestamptz", "timestamp", "interval", "uuid"]
COMPARISONS = ["=", "<>", "<", "<=", ">", ">=", "~", "!~", "~~", "?", "@>", "&&"]
OTHERS = ["+", "-", "*", "/", "%", "||", "->", "->>", "#>>", "|", "<<"]
# Of the grammar: what they are is not looked up in the path.
GRAMMAR = {"coalesce", "greatest", "least", "nullif", "extract", "overlay", "grouping", "position", "substring", "trim"}

# A planted function says so in the server's log, whatever becomes of the transaction, and fails.
PLANT = """
CREATE SCHEMA planting;
CREATE FUNCTION planting.plant(signature text, result text, made text) RETURNS void LANGUAGE plpgsql AS $make$
BEGIN
    EXECUTE format($f$CREATE FUNCTION %s RETURNS %s LANGUAGE plpgsql AS %L$f$, signature, result,
        format('BEGIN RAISE LOG %L; RAISE EXCEPTION %L; END', 'PLANTED: ' || replace(made, '%', '%%'),
            'PLANTED: ' || replace(made, '%', '%%')));
END $make$;
CREATE FUNCTION planting.plant_operators(names text[], comparisons text[], types text[]) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog AS $make$
DECLARE
    n int := 0;
    item record;
BEGIN
    FOR item IN
        SELECT names.name, l, r, CASE WHEN names.name = ANY(comparisons) THEN 'boolean'
            WHEN r IN ('timestamptz', 'timestamp', 'interval') AND l NOT IN ('timestamptz', 'timestamp') THEN r ELSE l END
            AS result
        FROM unnest(names) AS names(name), unnest(types) AS l, unnest(types) AS r
        WHERE NOT EXISTS (SELECT FROM pg_operator o WHERE o.oprname = names.name AND o.oprleft = l::regtype
            AND o.oprright = r::regtype AND o.oprnamespace = 'pg_catalog'::regnamespace)
    LOOP
        n := n + 1;
        PERFORM planting.plant(format('public.planted_%s(%s, %s)', n, item.l, item.r), item.result,
            format('%s %s %s', item.l, item.name, item.r));
        EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.planted_%s)',
            item.name, item.l, item.r, n);
    END LOOP;
    RETURN n;
END $make$;
CREATE FUNCTION planting.plant_functions(names text[], types text[]) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog AS $make$
DECLARE
    n int := 0;
    item record;
    combination text[];
BEGIN
    -- In the place of what takes any type, each of them; of what is converted without being asked, too.
    FOR item IN
        SELECT DISTINCT p.proname, p.prokind, p.proretset, n.args, format_type(p.prorettype, NULL) AS result
        FROM pg_proc p, LATERAL (
            SELECT CASE WHEN p.provariadic <> 0 AND p.pronargs > 0 AND i.more > 0
                THEN p.proargtypes[0:p.pronargs - 2]::oid[] || array_fill(2276::oid, ARRAY[i.more])
                ELSE p.proargtypes[0:p.pronargs - 1]::oid[] END AS args
            FROM generate_series(0, CASE WHEN p.provariadic <> 0 THEN 3 ELSE 0 END) AS i(more)) n
        WHERE p.proname = ANY(names) AND p.pronamespace = 'pg_catalog'::regnamespace
            AND cardinality(n.args) BETWEEN 1 AND 3
    LOOP
        FOR combination IN
            WITH RECURSIVE chosen(place, args) AS (
                SELECT 0, ARRAY[]::text[]
                UNION ALL
                SELECT place + 1, chosen.args || t.name
                FROM chosen, unnest(types || format_type(item.args[place + 1], NULL)) AS t(name)
                WHERE place < cardinality(item.args) AND (
                    t.name = format_type(item.args[place + 1], NULL)
                        AND t.name NOT LIKE 'any%' AND t.name NOT LIKE '"any%'
                    OR t.name = ANY(types) AND (cardinality(item.args) = 1 OR place < 2)
                        AND (item.args[place + 1] IN (2276, 2277, 2283, 2776, 5077, 5078, 5079)
                            OR t.name IN ('text', 'varchar', 'integer', 'bigint', 'numeric', 'timestamptz'))
                    OR place >= 2 AND t.name IN ('text', 'integer', 'bigint', 'jsonb'))
            )
            SELECT DISTINCT args FROM chosen WHERE place = cardinality(item.args)
        LOOP
            CONTINUE WHEN to_regprocedure(format('pg_catalog.%I(%s)', item.proname,
                array_to_string(combination, ','))) IS NOT NULL;
            CONTINUE WHEN to_regprocedure(format('public.%I(%s)', item.proname,
                array_to_string(combination, ','))) IS NOT NULL;
            n := n + 1;
            PERFORM planting.plant(format('public.%I(%s)', item.proname, array_to_string(combination, ', ')),
                CASE WHEN item.proretset THEN 'SETOF ' ELSE '' END || CASE
                    WHEN item.result LIKE '%anyarray%' THEN 'text[]' WHEN item.result LIKE '%any%' THEN 'text'
                    WHEN item.result = 'record' THEN 'text' ELSE item.result END,
                format('%s(%s)', item.proname, array_to_string(combination, ', ')));
        END LOOP;
    END LOOP;
    RETURN n;
END $make$;
"""


def our_sql():
    """All SQL text of ours: the daemon's statements, functions, and what the sources of gradingctl hold in strings."""
    root = harness.ROOT
    parts = [text for _, text in harness.daemon_statements().values()]
    parts.append((root / "migrations/functions.sql").read_text())
    for path in sorted(root.glob("src/ctl/**/*.c")) + [root / "src/pg/pgsetup.c", root / "src/gradingd/check.c"]:
        parts.append("\n".join(re.findall(r'"((?:[^"\\]|\\.)*)"', path.read_text())))
    return "\n".join(parts)


def used_functions(sql):
    return sorted(set(re.findall(r"\b([a-z_][a-z0-9_]+)\(", sql)) - GRAMMAR)


ADOPTED = """
    CREATE TABLE grading_jobs (id uuid PRIMARY KEY, session_id uuid, job_type varchar(40), job_data jsonb,
        status varchar(20) DEFAULT 'pending', error varchar(500), attempts smallint DEFAULT 0, max_attempts smallint DEFAULT 3,
        priority smallint DEFAULT 0, created_at timestamp DEFAULT now(), started_at timestamp, completed_at timestamp,
        failed_at timestamp, updated_at timestamp DEFAULT now());
    CREATE TABLE phrase_cache (cache_key varchar(200) PRIMARY KEY, phrase varchar(4000), rating varchar(40),
        context varchar(4000), created_at timestamp DEFAULT now());
"""
# name -> (what is there before the migrations, types of operators, types of functions)
TABLES = {"ours": ("", TYPES + CATALOG_TYPES, TYPES), "adopted": (ADOPTED, ADOPTED_TYPES, ADOPTED_TYPES)}


def plant(db, operands, types):
    """As a role that may create in public: whatever could be taken for pg_catalog's."""
    db.rows(f"DO $$ BEGIN CREATE ROLE {HOSTILE}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    db.rows(f"GRANT CREATE, USAGE ON SCHEMA public TO {HOSTILE}")
    db.rows(PLANT)
    db.rows(f"GRANT USAGE ON SCHEMA planting TO {HOSTILE}")
    with db.connect(autocommit=False) as conn:
        conn.execute(f"SET ROLE {HOSTILE}")
        conn.execute("SET statement_timeout = 0")
        operators = conn.execute("SELECT planting.plant_operators(%s, %s, %s)",
                                 (COMPARISONS + OTHERS, COMPARISONS, operands)).fetchone()[0]
        functions = conn.execute("SELECT planting.plant_functions(%s, %s)",
                                 (used_functions(our_sql()), types)).fetchone()[0]
        conn.commit()
    assert operators > 100 * len(operands) and functions > 200, (operators, functions)


@pytest.fixture(scope="module")
def planted_templates(postgres):
    """planted_templates(tables): the name of a database in whose public schema somebody has planted all that."""
    made = {}

    def admin(sql):
        with harness.connect(postgres.conninfo("postgres")) as conn:
            conn.execute(sql)

    def make(tables):
        if tables not in made:
            made[tables] = f"planted_{tables}"
            admin(f"CREATE DATABASE {made[tables]}")
            db = harness.Database(postgres, made[tables])
            before, operands, types = TABLES[tables]
            if before:
                db.rows(before)
            harness.migrate(db.conninfo)
            plant(db, operands, types)
            db.close()
        return made[tables]

    yield make
    for name in made.values():
        admin(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=TABLES)
def planted(request, make_database, planted_templates):
    return make_database(planted_templates(request.param))


def calls_of_others(db, statements):
    """Not only what a run comes by: the server itself says what each statement, name: (types, text), depends on."""
    found = []
    with db.connect() as conn:
        for name, (parameters, text) in statements.items():
            head = f"CREATE FUNCTION pg_temp.of_{name}({', '.join(parameters)}) RETURNS"
            body = f"LANGUAGE sql BEGIN ATOMIC {text}; END"
            try:
                conn.execute(f"{head} SETOF record {body}".encode())
            except psycopg.errors.InvalidFunctionDefinition:     # it returns nothing
                conn.execute(f"{head} void {body}".encode())
            except psycopg.Error as error:
                found.append(f"{name}: {error}")
        conn.execute("SET search_path = pg_catalog")
        found += ["%s: %s" % row for row in conn.execute("""
            SELECT substr(f.proname, 4), CASE d.refclassid WHEN 'pg_operator'::regclass THEN d.refobjid::regoperator::text
                ELSE d.refobjid::regprocedure::text END
            FROM pg_depend d
                LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
                LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
                JOIN pg_proc f ON d.classid = 'pg_proc'::regclass AND d.objid = f.oid
            WHERE f.pronamespace = pg_my_temp_schema() AND f.proname LIKE 'of\\_%%'
                AND coalesce(o.oprowner, p.proowner) = (SELECT oid FROM pg_roles WHERE rolname = %s)
            ORDER BY 1, 2""", (HOSTILE,))]
    return found


def test_no_statement_of_the_daemon_is_anothers(planted):
    found = calls_of_others(planted, harness.daemon_statements())
    assert not found, "\n".join(found)


LOGGED = dict(os.environ, PGOPTIONS="-c log_statement=all")


def server_log(db):
    with open(f"{db.postgres.directory}/log", encoding="utf-8", errors="replace") as log:
        return log.read()


def logged_statements(db, since):
    """What was sent with LOGGED in the environment, migrations excepted: name -> (types of its parameters, text)."""
    sent = re.findall(r"^[^\t\n]*LOG:  (?:statement|execute [^:\n]+): (.*(?:\n\t.*)*)", server_log(db)[since:], re.MULTILINE)
    applied = re.sub(r"\s+", " ", "".join(path.read_text() for path in harness.MIGRATIONS))
    found = {}
    with db.connect() as conn:
        for text in dict.fromkeys(text.replace("\n\t", "\n").strip().rstrip(";") for text in sent):
            if not re.match(r"\(?(SELECT|WITH|INSERT|UPDATE|DELETE)\b", text) or re.sub(r"\s+", " ", text) in applied:
                continue
            conn.execute(f"PREPARE asked AS {text}".encode())
            types = conn.execute("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'asked'").fetchone()[0]
            conn.execute("DEALLOCATE asked")
            found[f"sent_{len(found)}"] = (types, text)
    return found


def test_a_pool_and_gradingctl_call_nothing_of_others(planted, make_pool, tmp_path):
    """What is looked up while it runs, as in functions, in gradingctl and in the set-up of a connection.

    Of what is sent the server says what it depends on, as well: gradingctl doctor might look no row at.
    """
    session, other = new_session(), new_session()
    transcripts = tmp_path / "transcripts.json"
    transcripts.write_text("\n".join(json.dumps({"id": str(s), "transcript": rep("Hello there.", "What would it cost?")})
                                     for s in (session, other)))
    since = len(server_log(planted))

    def ctl(*words):
        said = gradingctl("-d", planted.conninfo, *words, env=LOGGED)
        assert "PLANTED" not in said.stdout + said.stderr, (words, said.stdout, said.stderr)
        return said

    planted.rows("CREATE TABLE live_sessions (id uuid PRIMARY KEY, analytics jsonb, full_transcript jsonb, grading_status text"
                 " CHECK (grading_status IN ('new', 'done')))" if not planted.value("SELECT to_regclass('live_sessions')") else
                 "ALTER TABLE live_sessions ADD full_transcript jsonb, ADD grading_status text")
    planted.rows("INSERT INTO live_sessions (id, full_transcript) VALUES (%s, %s)", session,
                 harness.Jsonb(rep("Hello there.", "What would it cost?")))
    assert ctl("migrate").returncode == 0
    assert ctl("enqueue", str(transcripts)).returncode == 0
    assert ctl("cancel", str(other)).returncode == 0
    assert ctl("retry", str(other)).returncode == 0
    pool = make_pool(planted, queue={"poll": "1s"}, env={"PGOPTIONS": LOGGED["PGOPTIONS"]})
    for s in (session, other):
        wait_until(lambda: ctl("--json", "progress", str(s)).stdout.find('"completed"') > 0)
    wait_until(lambda: planted.rows("SELECT id FROM live_sessions WHERE analytics IS NOT NULL"))
    for words in (["progress", session], ["ratings", session], ["ratings", session, "--since", "1"], ["jobs"],
                  ["jobs", "--failed"], ["jobs", "--pending"], ["jobs", "--incomplete"], ["retry", "--failed"],
                  ["retry", "--incomplete"], ["cache"], ["cache", "drop", "--model", "m"], ["cache", "drop", "--prompt", "abcd"],
                  ["cache", "drop", "--phrase", "Hello there."], ["ratings", session, "--csv"], ["export"],
                  ["export", "--since", "yesterday"], ["cache", "drop", "--all"],
                  ["enqueue", str(transcripts), "--wait"], ["migrate", "--status"], ["doctor"],
                  ["forget", other]):
        for json_too in ([], ["--json"]):
            ctl(*json_too, *map(str, words))
    for mode in ("session", "transaction"):
        pool.configure(database={"pool_mode": mode})
        assert "PLANTED" not in pool.run("-t").stdout
        pool.ctl("reload")
    pool.kill(pool.workers()[0])                        # its jobs are looked for
    wait_until(lambda: len(pool.workers()) == 2)
    pool.stop()
    assert "PLANTED" not in pool.log
    assert planted_calls(planted, since) == []
    sent = logged_statements(planted, since)
    found = [f"{line}\n\t{sent[line.partition(':')[0]][1]}" for line in calls_of_others(planted, sent)]
    assert len(sent) >= 50 and not found, "\n".join(found)


def planted_calls(db, since):
    """What the server's log says of planted functions that were called from there on."""
    return sorted({line.strip().partition("PLANTED: ")[2] for line in server_log(db)[since:].split("\n")
                   if "LOG:  PLANTED: " in line})
