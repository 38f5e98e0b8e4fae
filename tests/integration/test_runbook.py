"""The statements of existing runbooks, word for word."""
import harness
from harness import migrate, rep, wait_until

COUNT_PENDING = "SELECT COUNT(*) FROM grading_jobs WHERE status = 'pending';"
COUNT_PROCESSING = "SELECT COUNT(*) FROM grading_jobs WHERE status = 'processing';"
LAST_FAILED = "SELECT * FROM grading_jobs WHERE status = 'failed' ORDER BY failed_at DESC LIMIT 10;"
COUNT_CACHE = "SELECT COUNT(*) FROM phrase_cache;"
DELETE_OLD = "DELETE FROM grading_jobs WHERE status = 'completed' AND completed_at < NOW() - INTERVAL '24 hours';"
UNSTICK = """UPDATE grading_jobs SET status = 'pending', attempts = attempts + 1
WHERE status = 'processing' AND started_at < NOW() - INTERVAL '10 minutes';"""


def test_pending_and_processing_are_counted(make_openai_pool, db, llm):
    make_openai_pool(pool={"workers": 1, "in_flight": 3})
    llm.behave("hang")
    db.insert_many(5)
    wait_until(lambda: (db.value(COUNT_PENDING), db.value(COUNT_PROCESSING)) == (2, 3))


def test_the_last_failures_are_listed_newest_first(pool, db):
    jobs = [db.wait(db.insert(job_data=[n]), "failed").id for n in range(12)]
    listed = db.rows(LAST_FAILED)
    assert [row.id for row in listed] == jobs[:1:-1]
    assert all(row.error for row in listed)


def test_the_cache_is_counted(pool, db):
    db.completed(rep("A.", "B.", "A."))
    assert db.value(COUNT_CACHE) == 2


def test_old_completed_jobs_are_deleted_and_their_ratings_stay(make_pool, db):
    make_pool(db, queue={"keep_completed": "0"})
    old, ratings = db.completed(rep("A."))
    young, _ = db.completed(rep("B."))
    db.rows("UPDATE grading_jobs SET completed_at = now() - interval '25 hours' WHERE id = %s", old.id)
    db.rows(DELETE_OLD)
    assert db.job(old.id) is None and db.job(young.id)
    assert db.ratings(old.session_id) == ratings


def test_the_last_statement_gets_stuck_jobs_going_again(make_openai_pool, db, llm):
    """Even those that a living worker still has in hand: its late result is dropped."""
    make_openai_pool(pool={"workers": 2, "in_flight": 1, "claim_batch": 1}, cache={"ttl": "0"})
    llm.behave({"do": "hang", "first": 1}, "good")
    job = db.insert()
    wait_until(lambda: llm.in_flight == 1)
    db.rows("UPDATE grading_jobs SET started_at = now() - interval '11 minutes'")
    db.rows(UNSTICK)
    row = db.wait(job, "completed")
    assert (row.attempts, row.times_claimed) == (1, 2)


def test_the_last_statement_revives_a_job_of_a_host_that_is_gone(pool, db):
    job = db.insert(status="processing", claimed_by="elsewhere/12345678/4711/99", claim=1)
    db.rows("UPDATE grading_jobs SET started_at = now() - interval '11 minutes'")
    db.rows(UNSTICK)
    row = db.wait(job, "completed")
    assert row.attempts >= 1 and len(db.ratings(row.session_id)) == 1


def test_the_last_statement_leaves_young_jobs_alone(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave("hang")
    db.insert()
    wait_until(lambda: llm.in_flight == 1)
    db.rows(UNSTICK)
    assert db.value(COUNT_PROCESSING) == 1


def test_failed_jobs_set_pending_by_hand_are_rated_and_counted_once(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"do": "400", "first": 1}, "good")
    job = db.wait(db.insert(), "failed")
    db.rows("UPDATE grading_jobs SET status = 'pending', attempts = 0 WHERE status = 'failed'")
    row = db.wait(job.id, "completed")
    session = db.session(row.session_id)
    assert (session.completed_batches, session.failed_batches, session.total_batches) == (1, 0, 1)
    assert (session.total_lines, session.rated_lines, row.error, row.failed_at) == (1, 1, None, None)


# ---- removing data, as the manual has it ----

def from_manual(mark):
    """The statements below this comment, without it."""
    text = (harness.ROOT / "src/gradingd-sql.7").read_text(encoding="utf-8")
    return text.partition(f"\n-- {mark}\n")[2].partition("\n.Ed")[0]


def test_nothing_is_left_of_one_session(pool, db):
    job, _ = db.completed(rep("A.", "B."))
    other, _ = db.completed(rep("C."))
    statement = from_manual("one session")
    assert "6f1f0000-0000-4000-8000-000000000001" in statement
    db.rows(statement.replace("6f1f0000-0000-4000-8000-000000000001", str(job.session_id)))
    for table in ("grading_jobs", "grading_sessions", "line_ratings"):
        assert [row.session_id for row in db.rows(f"SELECT DISTINCT session_id FROM {table}")] == [other.session_id]


def test_nothing_is_left_of_all_that_was_migrated(bare_db):
    migrate(bare_db.conninfo)
    statements = from_manual("everything")
    assert "DROP ROLE" in statements
    bare_db.rows(statements.partition("DROP ROLE")[0])      # the cluster's other databases still use them
    for catalogue, schema in (("pg_class", "relnamespace"), ("pg_proc", "pronamespace"), ("pg_type", "typnamespace")):
        assert bare_db.rows(f"SELECT * FROM {catalogue} WHERE {schema} = 'public'::regnamespace") == []
    migrate(bare_db.conninfo)
