"""Nobody's operator or function is called in the daemon's name, or in that of who runs gradingctl.

Where others may create in the schema of our tables, an operator or a function whose argument types fit those of a call
better than pg_catalog's would be theirs. So each call of ours has the very types of something in pg_catalog, which is
looked at first. Here a role plants all that could fit better, and everything of ours is run beside it.
"""
import json
import re
import subprocess

import psycopg
import pytest

import harness
from harness import gradingctl, new_session, rep, wait_until

HOSTILE = "planter"
TYPES = ["boolean", "integer", "bigint", "numeric", "double precision", "text", "varchar", "name", "uuid", "jsonb",
         "timestamptz", "interval", "oid", "tid", "text[]", "uuid[]", "integer[]", "jsonb[]"]
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


@pytest.fixture
def planted(make_database, template):
    """A database in whose public schema somebody has planted all that could be taken for pg_catalog's."""
    db = make_database(template)
    db.rows(f"DO $$ BEGIN CREATE ROLE {HOSTILE}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    db.rows(f"GRANT CREATE, USAGE ON SCHEMA public TO {HOSTILE}")
    db.rows(PLANT)
    db.rows(f"GRANT USAGE ON SCHEMA planting TO {HOSTILE}")
    with db.connect(autocommit=False) as conn:
        conn.execute(f"SET ROLE {HOSTILE}")
        operators = conn.execute("SELECT planting.plant_operators(%s, %s, %s)",
                                 (COMPARISONS + OTHERS, COMPARISONS, TYPES)).fetchone()[0]
        functions = conn.execute("SELECT planting.plant_functions(%s, %s)",
                                 (used_functions(our_sql()), TYPES)).fetchone()[0]
        conn.commit()
    assert operators > 5000 and functions > 300
    return db


def test_no_statement_of_the_daemon_is_anothers(planted):
    """Not only what a run comes by: the server itself says what each statement depends on."""
    found = []
    with planted.connect() as conn:
        for name, (parameters, text) in harness.daemon_statements().items():
            head = f"CREATE FUNCTION pg_temp.of_{name}({', '.join(parameters)}) RETURNS"
            body = f"LANGUAGE sql BEGIN ATOMIC {text}; END"
            try:
                conn.execute(f"{head} SETOF record {body}")
            except psycopg.errors.InvalidFunctionDefinition:     # it returns nothing
                conn.execute(f"{head} void {body}")
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
    assert not found, "\n".join(found)


def test_a_pool_and_gradingctl_call_nothing_of_others(planted, make_pool, tmp_path):
    """What is looked up while it runs, as in functions, in gradingctl and in the set-up of a connection.

    gradingctl doctor reads catalogs, with the rights of whoever calls it, and says that others may create here.
    """
    session, other = new_session(), new_session()
    transcripts = tmp_path / "transcripts.json"
    transcripts.write_text("\n".join(json.dumps({"id": str(s), "transcript": rep("Hello there.", "What would it cost?")})
                                     for s in (session, other)))

    def ctl(*words):
        said = gradingctl("-d", planted.conninfo, *words)
        assert "PLANTED" not in said.stdout + said.stderr, (words, said.stderr)
        return said

    assert ctl("migrate").returncode == 0
    assert ctl("enqueue", str(transcripts)).returncode == 0
    assert ctl("cancel", str(other)).returncode == 0
    assert ctl("retry", str(other)).returncode == 0
    pool = make_pool(planted, queue={"poll": "1s"})
    for s in (session, other):
        wait_until(lambda: ctl("--json", "progress", str(s)).stdout.find('"completed"') > 0)
    for words in (["progress", session], ["ratings", session], ["ratings", session, "--since", "1"], ["jobs"],
                  ["jobs", "--failed"], ["jobs", "--pending"], ["retry", "--failed"], ["cache"], ["cache", "drop", "--all"],
                  ["enqueue", str(transcripts), "--wait"], ["migrate", "--status"]):
        for json_too in ([], ["--json"]):
            ctl(*json_too, *map(str, words))
    assert "PLANTED" not in pool.run("-t").stderr
    pool.kill(pool.workers()[0])                        # its jobs are looked for
    wait_until(lambda: len(pool.workers()) == 2)
    pool.stop()
    assert "PLANTED" not in pool.log
    assert planted_calls(planted) == []


def planted_calls(db):
    """What the server's log says of planted functions that were called in this database."""
    with open(f"{db.postgres.directory}/log", encoding="utf-8", errors="replace") as log:
        return sorted({line.strip().partition("PLANTED: ")[2] for line in log if "LOG:  PLANTED: " in line})
