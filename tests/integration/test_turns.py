"""Order within a priority: the first batches of a session before the rest of another, tenants by their weights."""
import collections
import json

import pytest

import harness
from harness import new_session, rep, wait_until

# So many (the third parameter) batches of one session (the first), each with one line, of a tenant (the second).
BATCHES = ("INSERT INTO grading_jobs (session_id, tenant, job_type, job_data) SELECT %s, %s, 'line_rating',"
           " jsonb_build_object('batchIndex', n, 'transcript', jsonb_build_array(jsonb_build_object('speaker', 'rep',"
           " 'text', 'Line ' || n, 'index', n))) FROM generate_series(0, %s - 1) n")
ONE_AT_A_TIME = {"workers": 1, "claim_batch": 1}


def insert_session(db, batches, tenant=None):
    session = new_session()
    db.rows(BATCHES, session, tenant, batches)
    return session


def turns(db, session):
    return [row.turn for row in db.rows("SELECT turn FROM grading_jobs WHERE session_id = %s"
                                        " ORDER BY (job_data ->> 'batchIndex')::int", session)]


# ---- who gets which turn ----

def test_batches_fall_into_bands(db):
    assert turns(db, insert_session(db, 25)) == [0] * 4 + [-1] * 16 + [-2] * 5
    session = new_session()
    lines = [{"speaker": "rep", "text": f"Line {n}."} for n in range(22)]
    db.rows("SELECT grading_enqueue(%s, %s, batch_size => 1)", session, json.dumps(lines))
    assert turns(db, session) == [0] * 4 + [-1] * 16 + [-2] * 2


@pytest.mark.parametrize("index, turn", [("null", 0), ("-7", 0), ("3.9", 0), ('"30"', 0), ("4", -1), ("1e300", -2),
                                         ("[]", 0), ("[1]", -2), ("{}", -2), ("true", -2)])
def test_no_batch_index_is_refused(db, index, turn):
    job = db.value("INSERT INTO grading_jobs (session_id, job_data) VALUES (gen_random_uuid(), %s::jsonb) RETURNING id",
                   f'{{"batchIndex": {index}}}')
    assert db.job(job).turn == turn


@pytest.mark.parametrize("data", [None, "[]", '"text"', "7"])
def test_nor_any_job_data(db, data):
    job = db.value("INSERT INTO grading_jobs (session_id, job_data) VALUES (gen_random_uuid(), %s::jsonb) RETURNING id",
                   data)
    assert db.job(job).turn == 0


def test_jobs_that_waited_before_keep_their_order(bare_db):
    before = [path for path in harness.MIGRATIONS if path.name < "098" or path.name == "functions.sql"]
    harness.migrate_by_psql(bare_db.conninfo, [path for path in before if path.name != "functions.sql"])
    session = new_session()
    bare_db.rows("INSERT INTO grading_jobs (session_id, job_data) SELECT %s, jsonb_build_object('batchIndex', n)"
                 " FROM generate_series(0, 29) n", session)
    harness.migrate(bare_db.conninfo)
    assert turns(bare_db, session) == [0] * 30


# ---- in which order they are claimed ----

def claimed_by_session(db):
    """The sessions of jobs in the order of their claims."""
    return [str(row.session_id) for row in db.rows("SELECT session_id FROM grading_jobs ORDER BY completed_at, claim")]


@pytest.fixture
def paused_pool(make_pool, db):
    def make(**groups):
        pool = make_pool(db, **{"pool": ONE_AT_A_TIME, **groups})
        pool.ctl("pause")
        pool.pause()
        return pool
    return make


def test_a_short_session_does_not_wait_for_a_long_one(paused_pool, db):
    pool = paused_pool()
    large = insert_session(db, 120)
    small = [insert_session(db, 1) for _ in range(20)]
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 140)
    order = claimed_by_session(db)
    last = max(order.index(session) for session in small)
    assert order[:4].count(large) >= 1
    # 24 jobs are of first batches, and those are eight of twelve that are claimed.
    assert last < 24 * 12 / 8 + 4, last


def test_nothing_starves_while_sessions_begin(paused_pool, db):
    pool = paused_pool()
    large = insert_session(db, 60)
    for _ in range(200):
        insert_session(db, 1)
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 260)
    order = claimed_by_session(db)
    rest = {str(row.id) for row in db.rows("SELECT id FROM grading_jobs WHERE turn = -2")}
    ids = [str(row.id) for row in db.rows("SELECT id FROM grading_jobs ORDER BY completed_at, claim")]
    assert len(rest) == 40 and order.count(large) == 60
    assert sum(job in rest for job in ids[:120]) >= 8       # one in twelve, at least


def test_within_a_band_the_oldest_comes_first(paused_pool, db):
    pool = paused_pool()
    sessions = [insert_session(db, 1) for _ in range(12)]
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 12)
    assert claimed_by_session(db) == sessions


def test_priorities_stand_above_turns(paused_pool, db):
    pool = paused_pool()
    insert_session(db, 3)
    urgent = insert_session(db, 30)
    db.rows("UPDATE grading_jobs SET priority = 1 WHERE session_id = %s", urgent)
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 33)
    assert claimed_by_session(db)[:30] == [urgent] * 30


def test_a_class_nobody_knows_is_found_beside_a_deep_one(make_pool, db):
    """Every other claim looks there first, so it waits for no poll."""
    pool = make_pool(db, pool={"workers": 1, "claim_batch": 4}, queue={"poll": "10m"})
    pool.wait_metric("jobs_completed_total", 0)
    for turn in (-1, -2, -4 * 11, -4 * 12 - 1, 3):
        job = db.insert(rep(f"Turn {turn}."))
        db.rows("UPDATE grading_jobs SET turn = %s WHERE id = %s AND status = 'pending'", turn, job)
        db.wait(job, "completed")


def test_who_is_refused_in_one_band_stops_no_other(make_pool, db):
    db.rows("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF OLD.error = 'hold' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$""")
    insert_session(db, 60)
    db.rows("UPDATE grading_jobs SET error = 'hold' WHERE job_data ->> 'batchIndex' IN ('0', '10', '30', '50')")
    db.rows("CREATE TRIGGER refuse BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION refuse()")
    pool = make_pool(db, pool={"workers": 2, "claim_batch": 8})
    wait_until(lambda: db.count("completed") == 56)
    insert_session(db, 60)
    wait_until(lambda: db.count("completed") == 116)
    for job in db.rows("SELECT id FROM grading_jobs WHERE error = 'hold'"):
        pool.wait_log(f"job {job.id} cannot be claimed")
    db.rows("DROP TRIGGER refuse ON grading_jobs")
    assert db.count("pending") == 4


# ---- tenants ----

def numbered(db, n):
    wait_until(lambda: db.value("SELECT count(*) FROM grading_tenants") == n)


def first_of(db, n):
    """How many of the first n jobs were each tenant's."""
    rows = db.rows("SELECT tenant FROM grading_jobs ORDER BY completed_at, claim LIMIT %s", n)
    return collections.Counter(row.tenant for row in rows)


def test_tenants_of_equal_weight_get_half_each(paused_pool, db):
    pool = paused_pool(tenants={"shares": ["acme", "beta"]})
    numbered(db, 2)
    for _ in range(9):
        insert_session(db, 30, "acme")
    insert_session(db, 30, "beta")
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 300)
    assert 24 <= first_of(db, 56)["beta"] <= 30
    assert {row.number for row in db.rows("SELECT number FROM grading_tenants")} == {1, 2}


def test_weights_count_and_all_others_are_one_tenant(paused_pool, db):
    pool = paused_pool(tenants={"shares": ["acme:3", "be:ta:1"]})
    numbered(db, 2)
    for tenant in ["one", "two", None] * 20:
        insert_session(db, 2, tenant)
    for tenant in ["be:ta"] * 30 + ["acme"] * 60:
        insert_session(db, 2, tenant)
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 300)
    first = first_of(db, 100)
    assert 57 <= first["acme"] <= 63 and 17 <= first["be:ta"] <= 23
    assert first["one"] and first["two"] and first[None]


def test_who_has_nothing_leaves_it_to_the_others(paused_pool, db):
    pool = paused_pool(tenants={"shares": ["acme:900", "beta"]})
    numbered(db, 2)
    insert_session(db, 40, "beta")
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 40)


def test_a_tenant_keeps_its_number(make_pool, db):
    pool = make_pool(db, tenants={"shares": ["acme", "beta"]})
    numbered(db, 2)
    before = db.rows("SELECT tenant, number FROM grading_tenants ORDER BY tenant")
    pool.configure(tenants={"shares": ["gamma:2", "beta:5"]})
    pool.ctl("reload")
    numbered(db, 3)
    assert db.rows("SELECT tenant, number FROM grading_tenants WHERE tenant < 'c' ORDER BY tenant") == before
    db.completed(rep("Later."), tenant="gamma")
    assert db.value("SELECT turn FROM grading_jobs") == -4 * db.value(
        "SELECT number FROM grading_tenants WHERE tenant = 'gamma'")


def test_what_a_session_grows_by_is_its_tenants(db):
    session = new_session()
    lines = [{"speaker": "rep", "text": f"Line {n}."} for n in range(3)]
    submit = "SELECT grading_submit(%s, %s, %s)"
    db.rows(submit, session, json.dumps(lines[:2]), '{"tenant": "acme"}')
    db.rows(submit, session, json.dumps(lines), "{}")
    assert [row.tenant for row in db.rows("SELECT tenant FROM grading_jobs")] == ["acme", "acme"]
